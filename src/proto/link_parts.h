/* link_parts.h - within src/proto: what the forms of a frame (link_json.c, link_json_read.c, link_binary.c,
 * link_binary_read.c) share. */
#ifndef CORTEN_PROTO_LINK_PARTS_H
#define CORTEN_PROTO_LINK_PARTS_H

#include "proto/link.h"

/* Zeroed, and the frame's until link_frame_done. */
void *link_memory(struct link_frame *frame, size_t size);

#endif
