/* SPDX-License-Identifier: Apache-2.0 */
/* The one error type of Ringkeep.
 *
 * Every function that can fail for a reason outside our own code returns
 * enum err; our own mistakes are asserts. The numbers cross the wire
 * (proto/client.proto, Reply.error) and are never reused: add rows at the end.
 *
 * Class: CALLER = tell the caller, nothing will change by trying again;
 *        RETRY  = the same request may succeed elsewhere or later;
 *        LOGIN  = the caller must log in (again);
 *        FATAL  = this process is unfit and must stop.
 *
 * No row may be named STATE: OpenSSL has a type ERR_STATE.
 */
#ifndef RINGKEEP_BASE_ERR_H
#define RINGKEEP_BASE_ERR_H

#define ERR_TABLE(X)                                                                       \
    X(0, OK, CALLER, "ok")                                                                 \
    X(1, NOMEM, RETRY, "out of memory")                                                    \
    X(2, MALFORMED, CALLER, "message cannot be parsed")                                    \
    X(3, UNSUPPORTED, CALLER, "format, suite or kind is not supported")                    \
    X(4, WRONG_KEY, CALLER, "sealed under another key")                                    \
    X(5, REFUSED, CALLER, "refused by a rule")                                             \
    X(6, BAD_TAG, CALLER, "authentication tag does not match")                             \
    X(7, BAD_CONTENT, CALLER, "sealed content breaks a rule")                              \
    X(8, NOTFOUND, CALLER, "not found, or not yours")                                      \
    X(9, EXISTS, CALLER, "exists already")                                                 \
    X(10, FULL, CALLER, "a limit is reached")                                              \
    X(11, TOO_LARGE, CALLER, "larger than the limit allows")                               \
    X(12, NOT_LEADER, RETRY, "not the leader")                                             \
    X(13, NO_QUORUM, RETRY, "no majority of the members answers")                          \
    X(14, UNKNOWN_OUTCOME, RETRY, "outcome unknown: ask again with the same request id")   \
    X(15, TOO_OLD, CALLER, "request is too old, its outcome is unknown: look it up")       \
    X(16, BUSY, RETRY, "busy: a queue is full")                                            \
    X(17, TIMEOUT, RETRY, "no answer in time")                                             \
    X(18, UNREACHABLE, RETRY, "no member can be reached")                                  \
    X(19, SEALED, RETRY, "not authorized: a Crypto Officer must authorize this member")    \
    X(20, UNINITIALISED, CALLER, "the core is not initialised")                            \
    X(21, WORKER_DIED, CALLER, "the worker ended during this operation")                   \
    X(22, LOGIN_REQUIRED, LOGIN, "log in first")                                           \
    X(23, PIN_INCORRECT, CALLER, "wrong password")                                         \
    X(24, PIN_LOCKED, CALLER, "the role is locked after too many wrong passwords")         \
    X(25, PIN_MUST_CHANGE, CALLER, "the password must be changed first")                   \
    X(26, PIN_LENGTH, CALLER, "the password is too short or too long")                     \
    X(27, TICKET_EXPIRED, LOGIN, "the ticket has expired or was voided: log in again")     \
    X(28, TICKET_LATE, RETRY, "the ticket is newer than this member: retry")               \
    X(29, LAGGING, RETRY, "this member has not yet seen that index")                       \
    X(30, KEY_USAGE, CALLER, "the key may not be used for this")                           \
    X(31, KEY_DATE, CALLER, "the key is outside its dates")                                \
    X(32, KEY_TYPE, CALLER, "the key is of the wrong type for this mechanism")             \
    X(33, MECHANISM, CALLER, "mechanism not supported or not allowed")                     \
    X(34, MECHANISM_PARAM, CALLER, "mechanism parameter is not valid")                     \
    X(35, DATA_LENGTH, CALLER, "data has the wrong length")                                \
    X(36, DATA_INVALID, CALLER, "data is not valid for this operation")                    \
    X(37, SIGNATURE_INVALID, CALLER, "the signature does not match")                       \
    X(38, SIGNATURE_LENGTH, CALLER, "the signature has the wrong length")                  \
    X(39, TEMPLATE, CALLER, "the template contradicts itself or a rule")                   \
    X(40, ATTRIBUTE, CALLER, "an attribute has a value that is not valid")                 \
    X(41, ATTRIBUTE_READ_ONLY, CALLER, "the attribute cannot be changed")                  \
    X(42, KEY_SIZE, CALLER, "key size is out of range")                                    \
    X(43, CURVE, CALLER, "curve is not supported")                                         \
    X(44, SENSITIVE, CALLER, "the value is sensitive and stays in the core")               \
    X(45, IO, FATAL, "input or output failed")                                             \
    X(46, CORRUPT, FATAL, "stored data fails its check")                                   \
    X(47, CRYPTO, CALLER, "a cryptographic library call failed")                           \
    X(48, CONFIG, CALLER, "configuration is not valid")                                    \
    X(49, USAGE, CALLER, "called with wrong arguments")                                    \
    X(50, PROTOCOL, CALLER, "the other side broke the protocol")                           \
    X(51, TLS, RETRY, "the TLS connection failed")                                         \
    X(52, IDENTITY, CALLER, "the other side's certificate is not known here")              \
    X(53, WRONG_STATE, CALLER, "not possible in the present state")                        \
    X(54, CANCELLED, RETRY, "cancelled because this member stops")                         \
    X(55, VERSION, FATAL, "written by a newer version: update this member")                \
    X(56, CLOCK, CALLER, "clocks differ too much: check time synchronisation")             \
    X(57, QUARANTINED, RETRY, "the core does not take this request for a minute: it ended a worker")  \
    X(58, TOKEN, CALLER, "the invite token is not valid, expired or spent")                \
    X(59, LOG_FULL, CALLER, "the replicated log has reached its bound")                    \
    X(60, INCARNATION, CALLER, "the cluster's history was cut: log in again")

enum err {
#define X(number, name, class_name, text) ERR_##name = (number),
    ERR_TABLE(X)
#undef X
        ERR_COUNT
};

enum err_class { ERR_CLASS_CALLER, ERR_CLASS_RETRY, ERR_CLASS_LOGIN, ERR_CLASS_FATAL };

#define MUST_USE __attribute__((warn_unused_result))

/* Text of an error, lower case, no full stop; "unknown error" for a number
 * that is not in the table. Static storage. */
const char *err_text(enum err e);
/* Name without the prefix, e.g. "NOTFOUND". Static storage. */
const char *err_name(enum err e);
enum err_class err_class_of(enum err e);
/* A number from the wire; a number not in the table becomes ERR_PROTOCOL. */
enum err err_from_wire(unsigned number);

/* The only macro with control flow besides the *_SCOPED cleanups: leaves the
 * function with the error of `expression`. */
#define TRY(expression)                \
    do {                               \
        enum err try_err = (expression); \
        if (try_err != ERR_OK) {       \
            return try_err;            \
        }                              \
    } while (0)

#endif
