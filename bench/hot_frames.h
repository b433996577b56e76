/* hot_frames.h - the part of bench/hot that writes and reads frames of the miner link, each in a function of its own.
 */
#ifndef CORTEN_BENCH_HOT_FRAMES_H
#define CORTEN_BENCH_HOT_FRAMES_H

/* Prints "name count" for each of them, as bench/hot does. */
void frames_run(void);

#endif
