/* corpus.h - the training text, and the token sequences that are cut from it.
 *
 * The text is what `bible -f Gen1:1-Rev22:21` prints: a verse a line, its reference first. Half of the
 * documents are plain verses, one a line. The others are conversations in the template of the demo model:
 *
 *      <s>User: In the beginning God\nAssistant: created the heaven and the earth.</s>\n
 *
 * The assistant completes the verse, or goes on with the next one if the user said all of it.
 */
#ifndef CORTEN_TOOLS_CORPUS_H
#define CORTEN_TOOLS_CORPUS_H

#include "base/prng.h"

/* Token ids: three specials, the 256 bytes, and the mark that stands for a blank in llama vocabularies. */
#define TOKEN_UNKNOWN 0u
#define TOKEN_BEGIN   1u
#define TOKEN_END     2u
#define TOKEN_BYTE_0  3u
#define TOKEN_BLANK   259u
#define TOKEN_COUNT   260u

struct corpus {
    char *text;          // all of the file
    const char **verse;  // [count], without reference and line end
    uint32_t *verse_size;
    uint32_t count;
    uint32_t held_out;  // verses from here on are never trained on
};

/* Ends the program where the file cannot be read, and warns where its text is not the one that gave the
 * bundled model. */
void corpus_load(struct corpus *corpus, const char *path);
void corpus_done(struct corpus *corpus);
/* Fills ret_tokens[0..size-1] with documents drawn by prng. */
void corpus_draw(const struct corpus *corpus, struct prng *prng, uint32_t *ret_tokens, uint32_t size);
/* Plain verses from the held-out part, the n'th piece of it. */
void corpus_held_out(const struct corpus *corpus, uint32_t n, uint32_t *ret_tokens, uint32_t size);

#endif
