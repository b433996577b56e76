/* cid.h - names of content: CIDv1, codec raw (0x55), SHA-256, written in base32 as `b…`, 59 characters.
 *
 * Of the many spellings that IPFS has, Corten speaks this one, so that a content has one name and names
 * can be compared as text. A URN is the same behind `ipfs://`.
 */
#ifndef CORTEN_CRYPTO_CID_H
#define CORTEN_CRYPTO_CID_H

#include "base/err.h"
#include "base/types.h"

#define CID_TEXT_SIZE 60  // with the NUL
#define URN_TEXT_SIZE 67  // with ipfs:// and the NUL

void cid_encode(const struct hash *sha256, char ret_text[CID_TEXT_SIZE]);
/* UNSUPPORTED: another version, base, codec or hash, by name. INVALID: no CID, or not in its one form. */
enum cx_err cid_decode(const char *text, size_t size, struct hash *ret_sha256);

void urn_encode(const struct hash *sha256, char ret_text[URN_TEXT_SIZE]);
/* Also UNSUPPORTED: another scheme, or a path behind the CID. */
enum cx_err urn_decode(const char *text, size_t size, struct hash *ret_sha256);

#endif
