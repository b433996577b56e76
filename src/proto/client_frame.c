#include "proto/client_frame.h"

#include <string.h>

#include "base/bytes.h"
#include "proto/json.h"

static const char *const type_name[] = {
#define X(name, NAME) #name,
    CLIENT_TYPES(X)
#undef X
};

static enum cx_err read_type(const struct json_at *root, enum client_type *ret_type)
{
    const char *name;
    size_t size;
    enum cx_err err = json_need_text(root, "type", &name, &size);
    if (err)
        return err;
    for (unsigned i = 0; i < CLIENT_TYPE_COUNT; i++)
        if (strcmp(name, type_name[i]) == 0) {
            *ret_type = (enum client_type)i;
            return CX_OK;
        }
    return json_fail(root, "type", "no frame \"%.40s\" comes this way; there are key, submit, watch, cancel and leave",
                     name);
}

static enum cx_err read_key(const struct json_at *root, struct client_frame *f)
{
    size_t size;
    enum cx_err err = json_need_text(root, "key", &f->key, &size);
    if (!err && size > CLIENT_KEY_SIZE_MAX)
        err = json_fail(root, "key", "over %d bytes", CLIENT_KEY_SIZE_MAX);
    return err;
}

static enum cx_err read_task(const struct json_at *root, struct client_frame *f)
{
    enum cx_err err = json_may_u64(root, "session_id", 0, UINT64_MAX, &f->session);
    if (!err)
        err = json_need_u64(root, "task_id", 1, UINT64_MAX, &f->task);
    return err;
}

static enum cx_err read_members(const struct json_at *root, struct client_frame *f)
{
    struct json_at body;
    enum cx_err err = CX_OK;
    if (f->type != CLIENT_KEY)
        err = json_need_u64(root, "ref", 1, UINT64_MAX, &f->ref);
    if (err)
        return err;
    switch (f->type) {
    case CLIENT_KEY: return read_key(root, f);
    case CLIENT_SUBMIT:
        err = json_need_object(root, "body", &body);
        f->body = err ? NULL : body.value;
        return err;
    case CLIENT_WATCH: err = read_task(root, f); return err ? err : json_may_u64(root, "from", 0, UINT32_MAX, &f->from);
    case CLIENT_CANCEL: return read_task(root, f);
    case CLIENT_LEAVE:
    case CLIENT_TYPE_COUNT: break;
    }
    return CX_OK;
}

enum cx_err client_decode(const char *text, size_t size, struct client_frame *ret_frame)
{
    struct client_frame *f = ret_frame;
    memset(f, 0, sizeof *f);
    enum cx_err err = json_parse(text, size, CLIENT_FRAME_SIZE_MAX, &f->document);
    if (err)
        return err;
    struct json_at root = json_at_root(f->document);
    if (!json_is_object(f->document))
        err = json_fail(&root, NULL, "expected a JSON object");
    if (!err)
        err = read_type(&root, &f->type);
    if (!err)
        err = read_members(&root, f);
    if (err) {
        json_decref(f->document);
        f->document = NULL;
        f->body = NULL;
        f->key = NULL;
    }
    return err;
}

enum cx_err client_frame_request(const struct client_frame *f, struct request *ret_request)
{
    return f->body ? request_read_native_json(f->body, ret_request) : request_read_bin(f->fields, ret_request);
}

/* ---- in binary ---- */

static enum cx_err read_key_bin(struct bytes_reader *in, struct client_frame *f)
{
    struct span key = bytes_get_span(in, in->left);
    if (key.size > CLIENT_KEY_SIZE_MAX)
        return cx_fail(CX_INVALID, "key: over %d bytes", CLIENT_KEY_SIZE_MAX);
    if (key.size == 0 || memchr(key.data, 0, key.size))
        return cx_fail(CX_INVALID, "key: expected its characters");
    memcpy(f->text, key.data, key.size);
    f->key = f->text;
    return CX_OK;
}

static enum cx_err read_fields_bin(struct bytes_reader *in, struct client_frame *f)
{
    f->ref = bytes_get_u64(in);
    if (f->type == CLIENT_SUBMIT) {
        f->fields = bytes_get_span(in, in->left);
    } else if (f->type == CLIENT_WATCH || f->type == CLIENT_CANCEL) {
        f->session = bytes_get_u64(in);
        f->task = bytes_get_u64(in);
        if (f->type == CLIENT_WATCH)
            f->from = bytes_get_u32(in);
        if (in->ok && f->task == 0)
            return cx_fail(CX_INVALID, "task_id: expected a task's id");
    }
    if (in->ok && f->ref == 0)
        return cx_fail(CX_INVALID, "ref: expected a number from 1 on");
    return in->ok && in->left == 0
               ? CX_OK
               : cx_fail(CX_INVALID, "a frame \"%s\" that is longer or shorter than its fields", type_name[f->type]);
}

enum cx_err client_decode_bin(const void *data, size_t size, struct client_frame *ret_frame)
{
    struct client_frame *f = ret_frame;
    struct bytes_reader in;
    memset(f, 0, sizeof *f);
    if (size > CLIENT_FRAME_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "a frame of %zu bytes is over %u", size, CLIENT_FRAME_SIZE_MAX);
    bytes_reader_init(&in, data, (uint32_t)size);
    uint8_t type = bytes_get_u8(&in);
    if (!in.ok || type >= CLIENT_TYPE_COUNT)
        return cx_fail(CX_INVALID, "type: no frame %u comes this way", type);
    f->type = (enum client_type)type;
    return f->type == CLIENT_KEY ? read_key_bin(&in, f) : read_fields_bin(&in, f);
}

void client_frame_done(struct client_frame *frame)
{
    json_decref(frame->document);
    memset(frame, 0, sizeof *frame);
}
