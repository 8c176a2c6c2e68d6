// SPDX-License-Identifier: BSD-3-Clause
// From the file's bytes to sections and keys, with inih and a line reader of ours before it. inih
// (as Debian 12 builds it) cuts section names at 49 bytes, splits lines at 199, takes an indented
// line as more of the value above, ignores what follows a section's bracket, and tells its handler
// no line. So each line is looked at here first; one that inih would misunderstand is a fault, and
// inih sees an empty line in its place.
#include "config_document.h"

#include "config_section_line.h"
#include "memory.h"

#include <base/text.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 199 // INI_MAX_LINE, less one for the terminator

struct reader {
    const char *at, *end;
    unsigned line;
    struct config_document *doc;
    struct config_section *section; // NULL: before the first, or inside one that is unknown
    bool in_unknown;
    bool owes_key; // inih was given a line that must be a key, and has not shown it yet
    struct faults *faults;
};

static void
settle_line(struct reader *r)
{
    if (r->owes_key)
        fault_at(r->faults, r->line,
                 "neither a [section] nor a comment nor a key: key = value would be right");
    r->owes_key = false;
}

// The next line, without its end, in one piece; *text and *len say where it lies.
static bool
next_line(struct reader *r, const char **text, size_t *len)
{
    if (r->at == r->end)
        return false;
    const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    const char *stop = newline ? newline : r->end;
    *text = r->at;
    *len = (size_t)(stop - r->at);
    if (*len && (*text)[*len - 1] == '\r')
        --*len;
    r->at = newline ? newline + 1 : r->end;
    r->line++;
    if (r->line == 1 && *len >= 3 && memcmp(*text, "\xef\xbb\xbf", 3) == 0) { // byte order mark
        *text += 3;
        *len -= 3;
    }
    return true;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

// False where inih must not see the line.
static bool
check_shape(struct reader *r, const char *text, size_t len)
{
    if (len > LINE_BYTES) {
        fault_at(r->faults, r->line, "the line is %zu bytes long: at most %d would be right", len,
                 LINE_BYTES);
        return false;
    }
    if (memchr(text, '\0', len)) {
        fault_at(r->faults, r->line, "a zero byte in the line: plain text would be right");
        return false;
    }
    size_t blanks = 0;
    while (blanks < len && is_blank(text[blanks]))
        blanks++;
    if (blanks == len || strchr("#;", text[blanks]))
        return false; // empty or a comment, wherever it begins
    if (blanks) {
        fault_at(r->faults, r->line,
                 "the line is indented: it would continue the value above; begin it in the first "
                 "column");
        return false;
    }
    return true;
}

static void
begin_section(struct reader *r, const char *text)
{
    struct section_line s;
    section_line_read(&s, text, r->line, r->doc, r->faults);
    r->in_unknown = s.kind == SECTION_KINDS;
    r->section = r->in_unknown ? NULL : config_section_add(r->doc, s.kind, s.name, r->line);
    section_line_clear(&s);
}

// The reader that inih calls, in the manner of fgets().
static char *
read_line(char *buf, int num, void *stream)
{
    struct reader *r = stream;
    const char *text;
    size_t len;
    settle_line(r);
    if (!next_line(r, &text, &len))
        return NULL;
    buf[0] = '\0';
    if (num <= LINE_BYTES || !check_shape(r, text, len))
        return buf;
    memcpy(buf, text, len);
    buf[len] = '\0';
    if (buf[0] == '[') {
        begin_section(r, buf);
        buf[0] = '\0'; // we keep the section: inih would cut its name
    } else {
        r->owes_key = true;
    }
    return buf;
}

static int
take_key(void *user, const char *section, const char *name, const char *value)
{
    struct reader *r = user;
    r->owes_key = false;
    if (r->section)
        config_section_set(r->section, name, value, r->line, r->faults);
    else if (!r->in_unknown)
        fault_at(r->faults, r->line, "a key before the first section: begin with [proxy]");
    return 1;
}

void
config_document_parse(struct config_document *doc, const char *text, size_t len,
                      struct faults *faults)
{
    struct reader r = {.at = text, .end = text + len, .doc = doc, .faults = faults};
    if (ini_parse_stream(read_line, &r, take_key, &r) < 0)
        fault_at(faults, 0, "out of memory");
    doc->lines = r.line;
}

void
config_document_read(struct config_document *doc, const char *path, struct faults *faults)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        fault_at(faults, 0, "cannot be read: %s", strerror(errno));
        return;
    }
    char *text = need_zeroed(CONFIG_BYTES_MAX + 1, 1);
    size_t len = fread(text, 1, CONFIG_BYTES_MAX + 1, f);
    if (ferror(f))
        fault_at(faults, 0, "cannot be read: %s", strerror(errno));
    else if (len > CONFIG_BYTES_MAX)
        fault_at(faults, 0, "longer than %u bytes: this is no configuration", CONFIG_BYTES_MAX);
    else
        config_document_parse(doc, text, len, faults);
    free(text);
    fclose(f);
}
