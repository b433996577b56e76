/* random_frame.h - frames of any type with fields drawn from a seed, and whether two frames say the same: both unfolded
 * from link.def, so that a field that is added is tried at once. */
#ifndef CORTEN_TESTS_RANDOM_FRAME_H
#define CORTEN_TESTS_RANDOM_FRAME_H

#include "base/prng.h"
#include "proto/link.h"

/* Valid, as its sender would make it. What it points to lasts until the next one. */
void random_frame(struct prng *prng, enum link_type type, struct link_frame *ret_frame);
bool frames_same(const struct link_frame *a, const struct link_frame *b);

#endif
