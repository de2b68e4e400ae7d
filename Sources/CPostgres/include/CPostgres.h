#pragma once

#include <stdbool.h>
#include <stddef.h>

// libpq, loaded with dlopen when it is first needed: linked, it and what it pulls in triple the program's start-up.
// A function here does what libpq's of the same name does. Call none before libpq_load has returned true.

struct pg_conn;
struct pg_result;

// Loads libpq, once for all threads; false when it cannot be had, with the reason, which stays valid.
bool libpq_load(const char **reason);

enum {
    LIBPQ_CONNECTION_OK,
    LIBPQ_CONNECTION_BAD,
};

enum {
    LIBPQ_POLLING_FAILED,
    LIBPQ_POLLING_READING,
    LIBPQ_POLLING_WRITING,
    LIBPQ_POLLING_OK,
};

enum {
    LIBPQ_RESULT_EMPTY,
    LIBPQ_RESULT_COMMAND,
    LIBPQ_RESULT_TUPLES,
    LIBPQ_RESULT_ERROR,
    // COPY in any direction, pipelines: nothing that a statement of ours starts.
    LIBPQ_RESULT_OTHER,
};

// Server notices are dropped instead of written to standard error, and errors carry their SQLSTATE until
// libpq_report_plainly. NULL when out of memory.
struct pg_conn *libpq_connect_start(const char *const *keywords, const char *const *values);
int libpq_connect_poll(struct pg_conn *connection);
void libpq_report_plainly(struct pg_conn *connection);
void libpq_finish(struct pg_conn *connection);

int libpq_status(const struct pg_conn *connection);
int libpq_socket(const struct pg_conn *connection);
int libpq_server_version(const struct pg_conn *connection);
const char *libpq_user(const struct pg_conn *connection);
const char *libpq_error_message(const struct pg_conn *connection);
bool libpq_needs_password(const struct pg_conn *connection);
bool libpq_used_password(const struct pg_conn *connection);

bool libpq_set_nonblocking(struct pg_conn *connection);
bool libpq_send_query(
    struct pg_conn *connection, const char *statement, int parameterCount, const char *const *parameters);
// 0 all sent, 1 more to send, -1 failed.
int libpq_flush(struct pg_conn *connection);
bool libpq_consume_input(struct pg_conn *connection);
bool libpq_is_busy(struct pg_conn *connection);
struct pg_result *libpq_get_result(struct pg_conn *connection);
// Asks the server to give up the running statement; blocks for a connection to it. False with a reason.
bool libpq_cancel(struct pg_conn *connection, char *reason, size_t reasonSize);

int libpq_result_status(const struct pg_result *result);
const char *libpq_result_error(const struct pg_result *result);
// Five characters, or NULL.
const char *libpq_result_sqlstate(const struct pg_result *result);
int libpq_row_count(const struct pg_result *result);
int libpq_column_count(const struct pg_result *result);
// NULL for SQL's NULL.
const char *libpq_value(const struct pg_result *result, int row, int column);
void libpq_clear(struct pg_result *result);
