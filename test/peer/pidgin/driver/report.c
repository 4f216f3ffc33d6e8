/* What happens in libpurple, as events. The debug log goes to a file of its own. */
#include "driver.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static FILE *out, *debug;

/* ---- writing ---- */

static void put(JsonObject *event, const char *key, const char *value)
{
	char *valid;

	if (!value)
		return;
	valid = g_utf8_make_valid(value, -1);
	json_object_set_string_member(event, key, valid);
	g_free(valid);
}

static void send_event(JsonObject *event)
{
	JsonNode *node = json_node_init_object(json_node_alloc(), event);
	char *text = json_to_string(node, FALSE);

	fprintf(out, "%s\n", text);
	fflush(out);
	g_free(text);
	json_node_free(node);
	json_object_unref(event);
}

void report(const char *name, ...)
{
	JsonObject *event = json_object_new();
	const char *key;
	va_list pairs;

	put(event, "event", name);
	va_start(pairs, name);
	while ((key = va_arg(pairs, const char *)))
		put(event, key, va_arg(pairs, const char *));
	va_end(pairs);
	send_event(event);
}

/* The words beside a status are markup. */
static void put_status(JsonObject *event, PurpleStatus *status)
{
	const char *html = purple_status_get_attr_string(status, "message");
	char *text = html ? purple_markup_strip_html(html) : NULL;

	put(event, "status", purple_status_get_id(status));
	put(event, "message", text);
	g_free(text);
}

/* The hash of the picture in hexadecimal digits tells it from others. */
static void put_photo(JsonObject *event, PurpleBuddyIcon *photo)
{
	gsize size = 0;
	gconstpointer bytes = photo ? purple_buddy_icon_get_data(photo, &size) : NULL;
	char *hash = bytes ? g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, size) : NULL;

	put(event, "photo", hash);
	g_free(hash);
}

void report_buddy(const char *name, PurpleBuddy *buddy, const char *key, const char *value)
{
	JsonObject *event = json_object_new();
	PurpleGroup *group = purple_buddy_get_group(buddy);
	PurplePresence *presence = purple_buddy_get_presence(buddy);

	put(event, "event", name);
	put(event, "who", purple_buddy_get_name(buddy));
	put(event, "group", group ? purple_group_get_name(group) : NULL);
	put(event, "alias", purple_buddy_get_local_buddy_alias(buddy));
	put(event, "server_alias", purple_buddy_get_server_alias(buddy));
	put(event, "title", purple_blist_node_get_string(PURPLE_BLIST_NODE(buddy), "title"));
	put(event, "email", purple_blist_node_get_string(PURPLE_BLIST_NODE(buddy), "email"));
	put(event, "company", purple_blist_node_get_string(PURPLE_BLIST_NODE(buddy), "company"));
	put(event, "blocked", purple_privacy_check(self, purple_buddy_get_name(buddy)) ? NULL : "yes");
	put(event, "idle", purple_presence_is_idle(presence) ? "yes" : NULL);
	put_photo(event, purple_buddy_get_icon(buddy));
	put_status(event, purple_presence_get_active_status(presence));
	put(event, key, value);
	send_event(event);
}

/* ---- the connection ---- */

static const char *const reasons[] = {
	[PURPLE_CONNECTION_ERROR_NETWORK_ERROR] = "network-error",
	[PURPLE_CONNECTION_ERROR_INVALID_USERNAME] = "invalid-username",
	[PURPLE_CONNECTION_ERROR_AUTHENTICATION_FAILED] = "authentication-failed",
	[PURPLE_CONNECTION_ERROR_AUTHENTICATION_IMPOSSIBLE] = "authentication-impossible",
	[PURPLE_CONNECTION_ERROR_NO_SSL_SUPPORT] = "no-ssl-support",
	[PURPLE_CONNECTION_ERROR_ENCRYPTION_ERROR] = "encryption-error",
	[PURPLE_CONNECTION_ERROR_NAME_IN_USE] = "name-in-use",
	[PURPLE_CONNECTION_ERROR_INVALID_SETTINGS] = "invalid-settings",
	[PURPLE_CONNECTION_ERROR_CERT_NOT_PROVIDED] = "certificate-missing",
	[PURPLE_CONNECTION_ERROR_CERT_UNTRUSTED] = "certificate-untrusted",
	[PURPLE_CONNECTION_ERROR_CERT_EXPIRED] = "certificate-expired",
	[PURPLE_CONNECTION_ERROR_CERT_NOT_ACTIVATED] = "certificate-not-yet-valid",
	[PURPLE_CONNECTION_ERROR_CERT_HOSTNAME_MISMATCH] = "certificate-of-another-host",
	[PURPLE_CONNECTION_ERROR_CERT_FINGERPRINT_MISMATCH] = "certificate-changed",
	[PURPLE_CONNECTION_ERROR_CERT_SELF_SIGNED] = "certificate-self-signed",
};

static void failed(PurpleConnection *connection, PurpleConnectionError reason, const char *text)
{
	const char *name = reason < G_N_ELEMENTS(reasons) ? reasons[reason] : NULL;

	(void)connection;
	report("connection-error", "reason", name ? name : "other-error", "text", text, "fatal",
	       purple_connection_error_is_fatal(reason) ? "yes" : "no", NULL);
}

static gboolean gone(gpointer nothing)
{
	(void)nothing;
	if (purple_account_is_disconnected(self))
		report("disconnected", NULL);
	return G_SOURCE_REMOVE;
}

/* The account is free for another attempt only when libpurple has finished with the connection. */
static void ending(PurpleConnection *connection)
{
	(void)connection;
	g_idle_add(gone, NULL);
}

static void signed_on(PurpleConnection *connection)
{
	report("signed-on", "name", purple_connection_get_display_name(connection), NULL);
}

static PurpleConnectionUiOps connection_ops = { .report_disconnect_reason = failed, .disconnected = ending };

static void self_status(PurpleAccount *account, PurpleStatus *was, PurpleStatus *is)
{
	JsonObject *event = json_object_new();

	(void)account, (void)was;
	put(event, "event", "self-status");
	put_status(event, is);
	send_event(event);
}

/* ---- contacts ---- */

static void status_changed(PurpleBuddy *b, PurpleStatus *was, PurpleStatus *is)
{
	(void)is;
	report_buddy("buddy-status-changed", b, "was", purple_status_get_id(was));
}

/* libpurple tells coming and going apart from other changes; a watcher of events need not. */
static void came_or_went(PurpleBuddy *b) { report_buddy("buddy-status-changed", b, NULL, NULL); }
static void idle_changed(PurpleBuddy *b) { report_buddy("buddy-status-changed", b, NULL, NULL); }
static void photo_changed(PurpleBuddy *b) { report_buddy("buddy-photo", b, NULL, NULL); }
static void buddy_added(PurpleBuddy *b) { report_buddy("buddy-added", b, NULL, NULL); }
static void buddy_removed(PurpleBuddy *b) { report_buddy("buddy-removed", b, NULL, NULL); }

static void buddy_renamed(PurpleBlistNode *node, const char *was)
{
	if (PURPLE_BLIST_NODE_IS_BUDDY(node))
		report_buddy("buddy-renamed", PURPLE_BUDDY(node), "was", was);
}

/* A group that got another name is only "updated"; its ui_data holds the name that was reported last. */
static void group_named(PurpleBlistNode *node)
{
	const char *name = purple_group_get_name(PURPLE_GROUP(node));
	char *was = node->ui_data;

	if (g_strcmp0(was, name) == 0)
		return;
	report(was ? "group-renamed" : "group-added", "group", name, "was", was, NULL);
	node->ui_data = g_strdup(name);
	g_free(was);
}

static void node_new(PurpleBlistNode *node)
{
	if (PURPLE_BLIST_NODE_IS_GROUP(node))
		group_named(node);
}

static void node_updated(PurpleBuddyList *list, PurpleBlistNode *node)
{
	(void)list;
	if (PURPLE_BLIST_NODE_IS_GROUP(node))
		group_named(node);
}

static void node_removed(PurpleBuddyList *list, PurpleBlistNode *node)
{
	(void)list;
	if (!PURPLE_BLIST_NODE_IS_GROUP(node))
		return;
	report("group-removed", "group", purple_group_get_name(PURPLE_GROUP(node)), NULL);
	g_clear_pointer(&node->ui_data, g_free);
}

static PurpleBlistUiOps blist_ops = { .new_node = node_new, .update = node_updated, .remove = node_removed };

/* Somebody put this account on a contact list; the plugin asks whether to add that person as well. */
static void added_by(PurpleAccount *account, const char *who, const char *id, const char *alias, const char *message)
{
	(void)account, (void)id, (void)message;
	report("added-by", "who", who, "alias", alias, NULL);
}

static PurpleAccountUiOps account_ops = { .notify_added = added_by, .request_add = added_by };

/* ---- conversations ---- */

/* Line ends are line ends, whether they came as such or as markup. */
char *plain(const char *html)
{
	char *with_breaks = purple_strdup_withhtml(html); /* turns line ends into <br>, drops carriage returns */
	char *text = purple_markup_strip_html(with_breaks);

	g_free(with_breaks);
	return text;
}

static void received(PurpleAccount *account, char *from, char *html)
{
	char *text = plain(html);

	(void)account;
	report("im-received", "who", from, "text", text, "html", html, NULL);
	g_free(text);
}

static void written(PurpleConversation *c, const char *who, const char *alias, const char *html, PurpleMessageFlags flags, time_t at)
{
	gboolean chat = purple_conversation_get_type(c) == PURPLE_CONV_TYPE_CHAT;
	const char *event = flags & PURPLE_MESSAGE_ERROR    ? (chat ? "chat-failed" : "im-failed")
	                    : flags & PURPLE_MESSAGE_SYSTEM ? (chat ? "chat-info" : "im-info")
	                    : flags & PURPLE_MESSAGE_SEND   ? (chat ? NULL : "im-sent") /* see chat-message */
	                                                    : NULL;
	char *text;

	(void)who, (void)alias, (void)at;
	if (!event)
		return;
	text = purple_markup_strip_html(html);
	report(event, chat ? "chat" : "who", purple_conversation_get_name(c), "text", text, NULL);
	g_free(text);
}

static PurpleConversationUiOps conversation_ops = { .write_conv = written };

static void typing(PurpleAccount *account, const char *who, gpointer state)
{
	(void)account;
	report("typing", "who", who, "state", state, NULL);
}

/* ---- notices ---- */

static void *notice(PurpleNotifyMsgType type, const char *title, const char *primary, const char *secondary)
{
	(void)type;
	report("notify", "title", title, "primary", primary, "text", secondary, NULL);
	return NULL;
}

static void *formatted(const char *title, const char *primary, const char *secondary, const char *html)
{
	char *text = purple_markup_strip_html(html);

	(void)secondary;
	report("notify", "title", title, "primary", primary, "text", text, NULL);
	g_free(text);
	return NULL;
}

static void *user_info(PurpleConnection *connection, const char *who, PurpleNotifyUserInfo *info)
{
	JsonObject *event = json_object_new();
	GList *at;

	(void)connection;
	put(event, "event", "user-info");
	put(event, "who", who);
	for (at = purple_notify_user_info_get_entries(info); at; at = at->next)
		if (purple_notify_user_info_entry_get_label(at->data))
			put(event, purple_notify_user_info_entry_get_label(at->data),
			    purple_notify_user_info_entry_get_value(at->data));
	send_event(event);
	return NULL;
}

/* One event per row, its keys the titles of the columns, then one that ends them. */
static void *search_results(PurpleConnection *connection, const char *title, const char *primary, const char *secondary,
                            PurpleNotifySearchResults *results, gpointer user_data)
{
	GList *row, *value;
	unsigned column;

	(void)connection, (void)title, (void)primary, (void)user_data;
	for (row = results->rows; row; row = row->next) {
		JsonObject *event = json_object_new();

		put(event, "event", "search-result");
		for (column = 0, value = row->data; value && column < purple_notify_searchresults_get_columns_count(results); value = value->next)
			put(event, purple_notify_searchresults_column_get_title(results, column++), value->data);
		send_event(event);
	}
	report("search-done", "text", secondary, NULL);
	return results;
}

static PurpleNotifyUiOps notify_ops = {
	.notify_message = notice,
	.notify_formatted = formatted,
	.notify_userinfo = user_info,
	.notify_searchresults = search_results,
};

/* ---- the debug log ---- */

static guint64 outstanding; /* requests that the server has not answered yet */

void report_outstanding(const char *id)
{
	char *count = g_strdup_printf("%" G_GUINT64_FORMAT, outstanding);

	report("outstanding", "id", id, "count", count, NULL);
	g_free(count);
}

/* libpurple has no signal for some things that the plugin notes in its log. */
static void report_noted(const char *text)
{
	static const char transactions[] = "SIP transactions count:";

	if (g_str_has_prefix(text, transactions))
		outstanding = g_ascii_strtoull(text + strlen(transactions), NULL, 10);
	/* the end of the contact list: the plugin has compared it with its own */
	if (strstr(text, "sipe_buddy_cleanup_local_list: overall"))
		report("contact-list-loaded", NULL);
	/* the server is told of a contact, which for the first one of a new group is when the group has its number */
	if (g_str_has_prefix(text, "Saving buddy ")) {
		char **word = g_strsplit(text, " ", 4);

		report("contact-told", "who", word[2], NULL);
		g_strfreev(word);
	}
}

static void debug_print(PurpleDebugLevel level, const char *category, const char *text)
{
	(void)level;
	if (debug) {
		fprintf(debug, "%s: %s%s", category ? category : "", text, g_str_has_suffix(text, "\n") ? "" : "\n");
		fflush(debug);
	}
	report_noted(text);
}

static gboolean debug_wanted(PurpleDebugLevel level, const char *category)
{
	(void)level, (void)category;
	return TRUE;
}

static PurpleDebugUiOps debug_ops = { .print = debug_print, .is_enabled = debug_wanted };

static void nowhere(const char *text) { (void)text; }

/* ---- setting up ---- */

void report_open(const char *debug_log)
{
	/* Libraries may print; the stream of events is ours alone. */
	out = fdopen(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), "w");
	dup2(STDERR_FILENO, STDOUT_FILENO);
	g_set_print_handler(nowhere);
	debug = debug_log ? fopen(debug_log, "we") : NULL;
	purple_debug_set_ui_ops(&debug_ops);
	purple_debug_set_enabled(TRUE);
	purple_debug_set_verbose(TRUE);
	purple_debug_set_unsafe(TRUE);
}

void report_connect(void)
{
	static const struct {
		void *(*source)(void);
		const char *signal;
		PurpleCallback tell;
		gpointer with;
	} signals[] = {
		{ purple_connections_get_handle, "signed-on", PURPLE_CALLBACK(signed_on), NULL },
		{ purple_accounts_get_handle, "account-status-changed", PURPLE_CALLBACK(self_status), NULL },
		{ purple_blist_get_handle, "buddy-status-changed", PURPLE_CALLBACK(status_changed), NULL },
		{ purple_blist_get_handle, "buddy-signed-on", PURPLE_CALLBACK(came_or_went), NULL },
		{ purple_blist_get_handle, "buddy-signed-off", PURPLE_CALLBACK(came_or_went), NULL },
		{ purple_blist_get_handle, "buddy-idle-changed", PURPLE_CALLBACK(idle_changed), NULL },
		{ purple_blist_get_handle, "buddy-icon-changed", PURPLE_CALLBACK(photo_changed), NULL },
		{ purple_blist_get_handle, "buddy-added", PURPLE_CALLBACK(buddy_added), NULL },
		{ purple_blist_get_handle, "buddy-removed", PURPLE_CALLBACK(buddy_removed), NULL },
		{ purple_blist_get_handle, "blist-node-aliased", PURPLE_CALLBACK(buddy_renamed), NULL },
		{ purple_conversations_get_handle, "received-im-msg", PURPLE_CALLBACK(received), NULL },
		{ purple_conversations_get_handle, "buddy-typing", PURPLE_CALLBACK(typing), "typing" },
		{ purple_conversations_get_handle, "buddy-typing-stopped", PURPLE_CALLBACK(typing), "stopped" },
	};
	static int us;
	guint i;

	purple_connections_set_ui_ops(&connection_ops);
	purple_blist_set_ui_ops(&blist_ops);
	purple_accounts_set_ui_ops(&account_ops);
	purple_conversations_set_ui_ops(&conversation_ops);
	purple_notify_set_ui_ops(&notify_ops);
	for (i = 0; i < G_N_ELEMENTS(signals); i++)
		purple_signal_connect(signals[i].source(), signals[i].signal, &us, signals[i].tell, signals[i].with);
	chat_connect();
}
