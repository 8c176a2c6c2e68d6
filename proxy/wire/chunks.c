// SPDX-License-Identifier: BSD-3-Clause
#include <wire/chunks.h>

#include <stddef.h>
#include <wire/names.h>

void
chunk_track_begin(struct chunk_track *t, enum wire_format f, const struct request *r)
{
    *t = (struct chunk_track){
        .offset = r->offset,
        .length = r->length,
        .command = r->type,
        .flags = r->flags,
        .format = (uint8_t)f,
    };
}

// What a content chunk may look like before anything of its payload is known; NULL if sound.
static const char *
judge_data_header(const struct chunk_track *t, const struct reply *h)
{
    if (t->command != NBD_CMD_READ)
        return "data in the reply to a command that returns none";
    // "length MUST be at least 9"; 8 is all there can be to a READ of nothing.
    if (h->length < (t->length ? 9 : 8))
        return "OFFSET_DATA chunk without data";
    if (h->length - 8 > t->length || h->length > UINT32_MAX)
        return "OFFSET_DATA chunk longer than the request";
    return NULL;
}

static const char *
judge_status_header(const struct chunk_track *t, const struct reply *h)
{
    if (t->command != NBD_CMD_BLOCK_STATUS)
        return "block status in the reply to another command";
    if (h->type != status_chunk_type(t->format))
        return "block status of another reply format than the connection's";
    uint32_t head = status_head_size(t->format), each = extent_size(t->format);
    if (h->length < head + each || (h->length - head) % each != 0)
        return "block status chunk of impossible length";
    uint64_t extents = (h->length - head) / each;
    if (extents > MAX_STATUS_EXTENTS)
        return "block status chunk with too many extents";
    if ((t->flags & NBD_CMD_FLAG_REQ_ONE) && extents != 1)
        return "several extents where REQ_ONE was set";
    return NULL;
}

static const char *
judge_error_header(const struct reply *h)
{
    if (h->length < (h->type == NBD_REPLY_TYPE_ERROR_OFFSET ? 14 : 6))
        return "error chunk too short";
    if (h->length > MAX_ERROR_CHUNK)
        return "error chunk too long";
    return NULL;
}

static const char *
judge_header(const struct chunk_track *t, const struct reply *h)
{
    if (t->format == FORMAT_SIMPLE)
        return "chunk where only simple replies were negotiated";
    if (t->format == FORMAT_EXTENDED && h->offset != t->offset)
        return "extended chunk with another offset than its request's";
    switch (h->type) {
    case NBD_REPLY_TYPE_NONE:
        if (h->length != 0)
            return "NONE chunk with a payload";
        return h->flags & NBD_REPLY_FLAG_DONE ? NULL : "NONE chunk without DONE";
    case NBD_REPLY_TYPE_OFFSET_DATA: return judge_data_header(t, h);
    case NBD_REPLY_TYPE_OFFSET_HOLE:
        if (t->command != NBD_CMD_READ)
            return "a hole in the reply to a command that returns none";
        return h->length == 12 ? NULL : "OFFSET_HOLE chunk of impossible length";
    case NBD_REPLY_TYPE_BLOCK_STATUS:
    case NBD_REPLY_TYPE_BLOCK_STATUS_EXT: return judge_status_header(t, h);
    }
    if (h->type & NBD_REPLY_TYPE_ERROR_BIT)
        return judge_error_header(h); // also those of tomorrow: they begin alike
    return "chunk of an unknown type";
}

int
chunk_head_size(const struct chunk_track *t, const struct reply *h, const char **why)
{
    *why = judge_header(t, h);
    if (*why)
        return -1;
    switch (h->type) {
    case NBD_REPLY_TYPE_NONE: return 0;
    case NBD_REPLY_TYPE_OFFSET_DATA: return 8;
    case NBD_REPLY_TYPE_OFFSET_HOLE: return 12;
    case NBD_REPLY_TYPE_BLOCK_STATUS:
    case NBD_REPLY_TYPE_BLOCK_STATUS_EXT: return (int)status_head_size(t->format);
    }
    return (int)h->length;
}

// Notes that [from, to) has been answered. False if some of it had been before. With the table full
// a span that touches no other is forgotten: chunk_judge() still counts its bytes.
static bool
note_span(struct chunk_track *t, uint32_t from, uint32_t to)
{
    unsigned i = 0;
    while (i < t->n_spans && t->spans[i].to <= from)
        i++;
    if (i < t->n_spans && t->spans[i].from < to)
        return false;
    bool joins_left = i > 0 && t->spans[i - 1].to == from;
    bool joins_right = i < t->n_spans && t->spans[i].from == to;
    size_t behind = (size_t)(t->n_spans - i) * sizeof t->spans[0];
    if (joins_left && joins_right) {
        t->spans[i - 1].to = t->spans[i].to;
        memmove(&t->spans[i], &t->spans[i] + 1, behind - sizeof t->spans[0]);
        t->n_spans--;
    } else if (joins_left) {
        t->spans[i - 1].to = to;
    } else if (joins_right) {
        t->spans[i].from = from;
    } else if (t->n_spans < CHUNK_GAPS) {
        memmove(&t->spans[i] + 1, &t->spans[i], behind);
        t->spans[i].from = from;
        t->spans[i].to = to;
        t->n_spans++;
    }
    return true;
}

// DATA and HOLE alike.
static const char *
judge_content(struct chunk_track *t, const struct chunk_facts *f)
{
    if (f->offset < t->offset || f->offset - t->offset > t->length ||
        f->length > t->length - (f->offset - t->offset))
        return "content outside the request";
    if (t->content && (t->flags & NBD_CMD_FLAG_DF))
        return "several content chunks where DF was set";
    t->content = true;
    if (f->length == 0)
        return NULL; // a READ of nothing
    uint32_t from = (uint32_t)(f->offset - t->offset);
    if (!note_span(t, from, from + f->length) || f->length > t->length - t->covered)
        return "content that overlaps with an earlier chunk";
    t->covered += f->length;
    return NULL;
}

static const char *
judge_status(struct chunk_track *t, const struct reply *h, const uint8_t *head, const uint32_t *ids,
             unsigned n_ids, struct chunk_facts *f)
{
    uint32_t id = get_be32(head);
    f->extents = ((uint32_t)h->length - status_head_size(t->format)) / extent_size(t->format);
    // "MUST correspond to the number of subsequent descriptors"
    if (t->format == FORMAT_EXTENDED && get_be32(head + 4) != f->extents)
        return "block status chunk whose count and length disagree";
    unsigned i = 0;
    while (i < n_ids && ids[i] != id)
        i++;
    if (i == n_ids)
        return "block status of an unknown context";
    if (t->contexts & UINT32_C(1) << i)
        return "block status twice for one context";
    t->contexts |= UINT32_C(1) << i;
    f->context = i;
    return NULL;
}

static const char *
judge_error(struct chunk_track *t, const struct reply *h, const uint8_t *head,
            struct chunk_facts *f)
{
    // Not every command has offsets: elsewhere it is just an error chunk of an unexpected type.
    const struct nbd_command_info *info = nbd_command_info(t->command);
    bool has_offset = h->type == NBD_REPLY_TYPE_ERROR_OFFSET && info && info->has_range;
    uint32_t fixed = h->type == NBD_REPLY_TYPE_ERROR_OFFSET ? 14 : 6;
    uint32_t text = get_be16(head + 4);
    if (text > h->length - fixed || text > MAX_STRING)
        return "error chunk with a text longer than itself";
    f->error = get_be32(head);
    if (f->error == NBD_SUCCESS)
        f->error = NBD_EIO; // "MUST be nonzero", but failed is failed
    f->text = bytes_of(head + 6, text);
    t->failed = true;
    if (!has_offset)
        return NULL;
    f->offset = get_be64(head + 6 + text);
    if (f->offset < t->offset || f->offset - t->offset >= t->length)
        return "error at an offset outside the request";
    // Content must not come where an error has been, but the error may come where content has been.
    uint32_t at = (uint32_t)(f->offset - t->offset);
    if (t->command == NBD_CMD_READ)
        note_span(t, at, at + 1);
    return NULL;
}

// DONE without an error says that all has been answered.
static const char *
judge_end(const struct chunk_track *t, unsigned n_ids)
{
    if (t->failed)
        return NULL;
    if (t->command == NBD_CMD_READ && t->covered != t->length)
        return "end of a READ that was not answered in full";
    uint32_t all = n_ids >= 32 ? UINT32_MAX : (UINT32_C(1) << n_ids) - 1;
    if (t->command == NBD_CMD_BLOCK_STATUS && t->contexts != all)
        return "end of a BLOCK_STATUS with a context unanswered";
    return NULL;
}

const char *
chunk_judge(struct chunk_track *t, const struct reply *h, const uint8_t *head, const uint32_t *ids,
            unsigned n_ids, struct chunk_facts *facts)
{
    const char *why = NULL;
    *facts = (struct chunk_facts){.done = h->flags & NBD_REPLY_FLAG_DONE};
    switch (h->type) {
    case NBD_REPLY_TYPE_NONE: break;
    case NBD_REPLY_TYPE_OFFSET_DATA:
        facts->offset = get_be64(head);
        facts->length = (uint32_t)h->length - 8;
        why = judge_content(t, facts);
        break;
    case NBD_REPLY_TYPE_OFFSET_HOLE:
        facts->offset = get_be64(head);
        facts->length = get_be32(head + 8);
        why = facts->length ? judge_content(t, facts) : "OFFSET_HOLE chunk of no length";
        break;
    case NBD_REPLY_TYPE_BLOCK_STATUS:
    case NBD_REPLY_TYPE_BLOCK_STATUS_EXT: why = judge_status(t, h, head, ids, n_ids, facts); break;
    default: why = judge_error(t, h, head, facts); break;
    }
    if (!why && facts->done)
        why = judge_end(t, n_ids);
    return why;
}

const char *
chunk_extents(const struct chunk_track *t, const uint8_t *p, unsigned n, uint64_t *total)
{
    uint64_t room = t->offset < MAX_EXPORT_SIZE ? MAX_EXPORT_SIZE - t->offset : 0;
    for (unsigned i = 0; i < n; i++, p += extent_size(t->format)) {
        uint64_t length = extent_decode(t->format, p).length;
        if (length == 0)
            return "block status extent of no length";
        if (*total && *total >= t->length)
            return "block status extents go on behind the request";
        if (length > room - *total)
            return "block status extent that ends behind 2^63 - 1";
        *total += length;
        if ((t->flags & NBD_CMD_FLAG_REQ_ONE) && *total > t->length)
            return "block status extent longer than the request where REQ_ONE was set";
    }
    return NULL;
}
