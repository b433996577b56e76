/* clock.h - what time it is. The core never asks; whoever else does asks here, so that a simulation can answer. */
#ifndef CORTEN_BASE_CLOCK_H
#define CORTEN_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_wall_ms(void);  // since 1970; may jump
uint64_t clock_mono_us(void);  // never goes back; from some moment on

#endif
