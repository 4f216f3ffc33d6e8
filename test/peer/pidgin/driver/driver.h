/*
 * The driver: a libpurple user interface without a screen, for one account of
 * the plugin prpl-sipe. It obeys commands from standard input and reports what
 * happens on standard output; both are one flat JSON object of strings per line.
 * It holds no SIP: whatever a server sees comes from the plugin.
 *
 *   main.c     the account, the core of libpurple, the event loop
 *   world.c    the machine the plugin believes to run on: names, addresses, chance
 *   sax.c      the repair of libxml2
 *   report.c   what happens in libpurple, as events
 *   ask.c      dialogs that wait for an answer
 *   chat.c     conferences
 *   obey.c     commands
 */
#ifndef DRIVER_H
#define DRIVER_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <purple.h>

#define UI_NAME "trivet-test"
#define PLUGIN  "prpl-sipe"

/* main.c */
extern PurpleAccount *self;
void leave(void);

/* world.c: settings, taken from the first line of standard input */
void world_settle(JsonObject *settings);

/* report.c */
void report_open(const char *debug_log);
void report_connect(void);
/* One event: its name, then pairs of key and value up to NULL. A pair without a value is left out. */
void report(const char *event, ...) G_GNUC_NULL_TERMINATED;
void report_buddy(const char *event, PurpleBuddy *buddy, const char *key, const char *value);
/* How many requests the server has not answered yet. */
void report_outstanding(const char *id);
/* What a reader sees of a message, to be freed. */
char *plain(const char *html);

/* ask.c */
void ask_setup(gboolean trust_any_certificate);
const char *ask_answer(JsonObject *command);

/* chat.c: what happens, and commands, each of which returns why not, or NULL */
void chat_connect(void);
const char *chat_list(JsonObject *command);
const char *chat_send(JsonObject *command);
const char *chat_invite(JsonObject *command);
const char *chat_leave(JsonObject *command);
const char *chat_menu(JsonObject *command);

/* obey.c */
void obey(const char *line);
/* Chooses the entry that the command's "path" leads to, and frees the menu. FALSE if there is none. */
gboolean menu_choose(GList *menu, PurpleBlistNode *node, JsonObject *command);

/* The string a command or the settings have under key, or NULL. */
const char *given(JsonObject *object, const char *key);

#endif
