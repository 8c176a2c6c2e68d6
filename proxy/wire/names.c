// SPDX-License-Identifier: BSD-3-Clause
#include <wire/names.h>

#include <stddef.h>
#include <wire/codec.h>
#include <wire/nbd.h>

struct number_name {
    uint32_t number;
    const char *name;
};

static const char *
find_name(const struct number_name *table, size_t n, uint32_t number)
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].number == number)
            return table[i].name;
    }
    return "unknown";
}

#define FIND_NAME(table, number) find_name(table, sizeof(table) / sizeof((table)[0]), number)

static const struct number_name option_names[] = {
    {NBD_OPT_EXPORT_NAME, "EXPORT_NAME"},
    {NBD_OPT_ABORT, "ABORT"},
    {NBD_OPT_LIST, "LIST"},
    {NBD_OPT_PEEK_EXPORT, "PEEK_EXPORT"},
    {NBD_OPT_STARTTLS, "STARTTLS"},
    {NBD_OPT_INFO, "INFO"},
    {NBD_OPT_GO, "GO"},
    {NBD_OPT_STRUCTURED_REPLY, "STRUCTURED_REPLY"},
    {NBD_OPT_LIST_META_CONTEXT, "LIST_META_CONTEXT"},
    {NBD_OPT_SET_META_CONTEXT, "SET_META_CONTEXT"},
    {NBD_OPT_EXTENDED_HEADERS, "EXTENDED_HEADERS"},
};

static const struct number_name reply_names[] = {
    {NBD_REP_ACK, "ACK"},
    {NBD_REP_SERVER, "SERVER"},
    {NBD_REP_INFO, "INFO"},
    {NBD_REP_META_CONTEXT, "META_CONTEXT"},
    {NBD_REP_ERR_UNSUP, "ERR_UNSUP"},
    {NBD_REP_ERR_POLICY, "ERR_POLICY"},
    {NBD_REP_ERR_INVALID, "ERR_INVALID"},
    {NBD_REP_ERR_PLATFORM, "ERR_PLATFORM"},
    {NBD_REP_ERR_TLS_REQD, "ERR_TLS_REQD"},
    {NBD_REP_ERR_UNKNOWN, "ERR_UNKNOWN"},
    {NBD_REP_ERR_SHUTDOWN, "ERR_SHUTDOWN"},
    {NBD_REP_ERR_BLOCK_SIZE_REQD, "ERR_BLOCK_SIZE_REQD"},
    {NBD_REP_ERR_TOO_BIG, "ERR_TOO_BIG"},
    {NBD_REP_ERR_EXT_HEADER_REQD, "ERR_EXT_HEADER_REQD"},
};

static const struct number_name error_names[] = {
    {NBD_SUCCESS, "SUCCESS"},     {NBD_EPERM, "EPERM"},     {NBD_EIO, "EIO"},
    {NBD_ENOMEM, "ENOMEM"},       {NBD_EINVAL, "EINVAL"},   {NBD_ENOSPC, "ENOSPC"},
    {NBD_EOVERFLOW, "EOVERFLOW"}, {NBD_ENOTSUP, "ENOTSUP"}, {NBD_ESHUTDOWN, "ESHUTDOWN"},
};

// spec: "Request types"; the errors of ranges from "Error values".
static const struct nbd_command_info commands[NBD_COMMANDS] = {
    [NBD_CMD_READ] = {.name = "READ",
                      .flags = NBD_CMD_FLAG_DF,
                      .has_range = true,
                      .beyond_end = NBD_EINVAL},
    [NBD_CMD_WRITE] = {.name = "WRITE",
                       .changes_data = true,
                       .has_range = true,
                       .beyond_end = NBD_ENOSPC},
    [NBD_CMD_DISC] = {.name = "DISC"},
    [NBD_CMD_FLUSH] = {.name = "FLUSH", .needs = NBD_FLAG_SEND_FLUSH},
    [NBD_CMD_TRIM] = {.name = "TRIM",
                      .needs = NBD_FLAG_SEND_TRIM,
                      .changes_data = true,
                      .has_range = true,
                      .beyond_end = NBD_EINVAL},
    [NBD_CMD_CACHE] = {.name = "CACHE",
                       .needs = NBD_FLAG_SEND_CACHE,
                       .has_range = true,
                       .beyond_end = NBD_EINVAL},
    [NBD_CMD_WRITE_ZEROES] = {.name = "WRITE_ZEROES",
                              .flags = NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO,
                              .needs = NBD_FLAG_SEND_WRITE_ZEROES,
                              .changes_data = true,
                              .has_range = true,
                              .beyond_end = NBD_ENOSPC},
    [NBD_CMD_BLOCK_STATUS] = {.name = "BLOCK_STATUS",
                              .flags = NBD_CMD_FLAG_REQ_ONE,
                              .has_range = true,
                              .beyond_end = NBD_EINVAL},
};

const char *
wire_format_name(enum wire_format f)
{
    switch (f) {
    case FORMAT_SIMPLE: return "simple";
    case FORMAT_STRUCTURED: return "structured";
    case FORMAT_EXTENDED: return "extended";
    }
    return "unknown";
}

const char *
nbd_option_name(uint32_t option)
{
    return FIND_NAME(option_names, option);
}

const char *
nbd_reply_name(uint32_t option_reply)
{
    return FIND_NAME(reply_names, option_reply);
}

const char *
nbd_command_name(uint16_t command)
{
    return command < NBD_COMMANDS ? commands[command].name : "unknown";
}

const char *
nbd_error_name(uint32_t error)
{
    return FIND_NAME(error_names, error);
}

const struct nbd_command_info *
nbd_command_info(uint16_t command)
{
    return command < NBD_COMMANDS ? &commands[command] : NULL;
}

uint32_t
nbd_error_for_client(uint32_t error, uint16_t command, bool fast_zero, bool df)
{
    switch (error) {
    case NBD_SUCCESS:
    case NBD_EPERM:
    case NBD_EIO:
    case NBD_ENOMEM:
    case NBD_EINVAL:
    case NBD_ENOSPC:
    case NBD_ESHUTDOWN: return error;
    case NBD_ENOTSUP:
        return command == NBD_CMD_WRITE_ZEROES && fast_zero ? NBD_ENOTSUP : NBD_EINVAL;
    case NBD_EOVERFLOW: return command == NBD_CMD_READ && df ? NBD_EOVERFLOW : NBD_EINVAL;
    }
    bool moves_data =
        command == NBD_CMD_READ || command == NBD_CMD_WRITE || command == NBD_CMD_FLUSH;
    return moves_data ? NBD_EIO : NBD_EINVAL;
}
