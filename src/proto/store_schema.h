/* store_schema.h - the SQLite table of payloads, which two folders that do not see each other write to:
 * `ledger` puts a batch's payloads there in the batch's transaction, `payload` everything else.
 *
 * Both create it with this text, so that it exists whoever comes first. A content is one row, whoever stored it;
 * a second put only lengthens its time. Expiry walks the index in order of time and never touches TIME_NEVER.
 *
 *      sha256        32 bytes, of data
 *      keep_until    milliseconds since 1970; INT64_MAX: for ever
 *      size          of data, so that statistics need not read it
 */
#ifndef CORTEN_PROTO_STORE_SCHEMA_H
#define CORTEN_PROTO_STORE_SCHEMA_H

#define STORE_PAYLOAD_SCHEMA                                    \
    "CREATE TABLE IF NOT EXISTS payload ("                      \
    " sha256 BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32)," \
    " keep_until INTEGER NOT NULL,"                             \
    " size INTEGER NOT NULL,"                                   \
    " data BLOB NOT NULL);"                                     \
    "CREATE INDEX IF NOT EXISTS payload_by_time ON payload (keep_until, size);"

/* ?1 sha256, ?2 keep_until, ?3 size, ?4 data */
#define STORE_PAYLOAD_PUT                                                          \
    "INSERT INTO payload (sha256, keep_until, size, data) VALUES (?1, ?2, ?3, ?4)" \
    " ON CONFLICT (sha256) DO UPDATE SET keep_until = max(keep_until, excluded.keep_until)"

#endif
