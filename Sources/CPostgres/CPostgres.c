#include "CPostgres.h"

#include <dlfcn.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>

_Static_assert((int)LIBPQ_CONNECTION_OK == (int)CONNECTION_OK, "libpq-fe.h");
_Static_assert((int)LIBPQ_CONNECTION_BAD == (int)CONNECTION_BAD, "libpq-fe.h");
_Static_assert((int)LIBPQ_POLLING_FAILED == (int)PGRES_POLLING_FAILED, "libpq-fe.h");
_Static_assert((int)LIBPQ_POLLING_READING == (int)PGRES_POLLING_READING, "libpq-fe.h");
_Static_assert((int)LIBPQ_POLLING_WRITING == (int)PGRES_POLLING_WRITING, "libpq-fe.h");
_Static_assert((int)LIBPQ_POLLING_OK == (int)PGRES_POLLING_OK, "libpq-fe.h");

#define FUNCTIONS(X)          \
    X(PQcancel)               \
    X(PQclear)                \
    X(PQconnectPoll)          \
    X(PQconnectStartParams)   \
    X(PQconnectionNeedsPassword) \
    X(PQconnectionUsedPassword)  \
    X(PQconsumeInput)         \
    X(PQerrorMessage)         \
    X(PQfinish)               \
    X(PQflush)                \
    X(PQfreeCancel)           \
    X(PQgetCancel)            \
    X(PQgetResult)            \
    X(PQgetisnull)            \
    X(PQgetvalue)             \
    X(PQisBusy)               \
    X(PQnfields)              \
    X(PQntuples)              \
    X(PQresultErrorField)     \
    X(PQresultErrorMessage)   \
    X(PQresultStatus)         \
    X(PQsendQueryParams)      \
    X(PQserverVersion)        \
    X(PQsetErrorVerbosity)    \
    X(PQsetNoticeProcessor)   \
    X(PQsetnonblocking)       \
    X(PQsocket)               \
    X(PQstatus)               \
    X(PQuser)

// The types come from the header, so that a wrong call does not compile.
static struct {
#define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
#undef MEMBER
} pq;

static pthread_once_t loadOnce = PTHREAD_ONCE_INIT;
static char loadReason[512];

static void load(void)
{
    void *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);

    if (library == NULL) {
        const char *reason = dlerror();
        snprintf(loadReason, sizeof loadReason, "%s", reason != NULL ? reason : "libpq.so.5 cannot be loaded");
        return;
    }
#define LOOK_UP(name)                                                                    \
    if ((pq.name = (__typeof__(&name))dlsym(library, #name)) == NULL) {                  \
        snprintf(loadReason, sizeof loadReason, "libpq.so.5 has no function " #name);    \
        return;                                                                          \
    }
    FUNCTIONS(LOOK_UP)
#undef LOOK_UP
}

bool libpq_load(const char **reason)
{
    pthread_once(&loadOnce, load);
    *reason = loadReason;
    return loadReason[0] == '\0';
}

static void dropNotice(void *context, const char *message)
{
    (void)context;
    (void)message;
}

struct pg_conn *libpq_connect_start(const char *const *keywords, const char *const *values)
{
    PGconn *connection = pq.PQconnectStartParams(keywords, values, 0);

    if (connection != NULL) {
        pq.PQsetNoticeProcessor(connection, dropNotice, NULL);
        pq.PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    }
    return connection;
}

int libpq_connect_poll(struct pg_conn *connection) { return (int)pq.PQconnectPoll(connection); }

void libpq_report_plainly(struct pg_conn *connection) { pq.PQsetErrorVerbosity(connection, PQERRORS_DEFAULT); }

void libpq_finish(struct pg_conn *connection) { pq.PQfinish(connection); }

int libpq_status(const struct pg_conn *connection) { return (int)pq.PQstatus(connection); }

int libpq_socket(const struct pg_conn *connection) { return pq.PQsocket(connection); }

int libpq_server_version(const struct pg_conn *connection) { return pq.PQserverVersion(connection); }

const char *libpq_user(const struct pg_conn *connection) { return pq.PQuser(connection); }

const char *libpq_error_message(const struct pg_conn *connection) { return pq.PQerrorMessage(connection); }

bool libpq_needs_password(const struct pg_conn *connection) { return pq.PQconnectionNeedsPassword(connection); }

bool libpq_used_password(const struct pg_conn *connection) { return pq.PQconnectionUsedPassword(connection); }

bool libpq_set_nonblocking(struct pg_conn *connection) { return pq.PQsetnonblocking(connection, 1) == 0; }

bool libpq_send_query(
    struct pg_conn *connection, const char *statement, int parameterCount, const char *const *parameters)
{
    return pq.PQsendQueryParams(connection, statement, parameterCount, NULL, parameters, NULL, NULL, 0);
}

int libpq_flush(struct pg_conn *connection) { return pq.PQflush(connection); }

bool libpq_consume_input(struct pg_conn *connection) { return pq.PQconsumeInput(connection); }

bool libpq_is_busy(struct pg_conn *connection) { return pq.PQisBusy(connection); }

struct pg_result *libpq_get_result(struct pg_conn *connection) { return pq.PQgetResult(connection); }

bool libpq_cancel(struct pg_conn *connection, char *reason, size_t reasonSize)
{
    PGcancel *cancel = pq.PQgetCancel(connection);

    if (cancel == NULL) {
        snprintf(reason, reasonSize, "the connection was lost");
        return false;
    }
    int done = pq.PQcancel(cancel, reason, (int)reasonSize);
    pq.PQfreeCancel(cancel);
    return done;
}

int libpq_result_status(const struct pg_result *result)
{
    switch (pq.PQresultStatus(result)) {
    case PGRES_EMPTY_QUERY:
        return LIBPQ_RESULT_EMPTY;
    case PGRES_COMMAND_OK:
        return LIBPQ_RESULT_COMMAND;
    case PGRES_TUPLES_OK:
        return LIBPQ_RESULT_TUPLES;
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
        return LIBPQ_RESULT_ERROR;
    default:
        return LIBPQ_RESULT_OTHER;
    }
}

const char *libpq_result_error(const struct pg_result *result) { return pq.PQresultErrorMessage(result); }

const char *libpq_result_sqlstate(const struct pg_result *result)
{
    return pq.PQresultErrorField(result, PG_DIAG_SQLSTATE);
}

int libpq_row_count(const struct pg_result *result) { return pq.PQntuples(result); }

int libpq_column_count(const struct pg_result *result) { return pq.PQnfields(result); }

const char *libpq_value(const struct pg_result *result, int row, int column)
{
    return pq.PQgetisnull(result, row, column) ? NULL : pq.PQgetvalue(result, row, column);
}

void libpq_clear(struct pg_result *result) { pq.PQclear(result); }
