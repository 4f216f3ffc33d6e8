/* Conferences, which libpurple calls chats: what happens in them, and commands. */
#include "driver.h"

#include <string.h>

/* ---- events ---- */

static void message(PurpleAccount *account, char *from, char *html, PurpleConversation *c)
{
	char *text = plain(html);

	(void)account;
	report("chat-message", "chat", purple_conversation_get_name(c), "who", from, "text", text, NULL);
	g_free(text);
}

static void joined(PurpleConversation *c) { report("chat-joined", "chat", purple_conversation_get_name(c), NULL); }
static void left(PurpleConversation *c) { report("chat-left", "chat", purple_conversation_get_name(c), NULL); }

static void user_joined(PurpleConversation *c, const char *who)
{
	report("chat-user-joined", "chat", purple_conversation_get_name(c), "who", who, NULL);
}

static void user_left(PurpleConversation *c, const char *who)
{
	report("chat-user-left", "chat", purple_conversation_get_name(c), "who", who, NULL);
}

static const char *leader(PurpleConvChatBuddyFlags flags) { return flags & PURPLE_CBFLAGS_OP ? "yes" : NULL; }

static void user_changed(PurpleConversation *c, const char *who, PurpleConvChatBuddyFlags was, PurpleConvChatBuddyFlags is)
{
	(void)was;
	report("chat-user-changed", "chat", purple_conversation_get_name(c), "who", who, "leader", leader(is), NULL);
}

void chat_connect(void)
{
	static const struct {
		const char *signal;
		PurpleCallback tell;
	} signals[] = {
		{ "received-chat-msg", PURPLE_CALLBACK(message) },    { "chat-joined", PURPLE_CALLBACK(joined) },
		{ "chat-left", PURPLE_CALLBACK(left) },               { "chat-user-joined", PURPLE_CALLBACK(user_joined) },
		{ "chat-user-left", PURPLE_CALLBACK(user_left) },     { "chat-user-flags", PURPLE_CALLBACK(user_changed) },
	};
	static int us;
	guint i;

	for (i = 0; i < G_N_ELEMENTS(signals); i++)
		purple_signal_connect(purple_conversations_get_handle(), signals[i].signal, &us, signals[i].tell, NULL);
}

/* ---- commands ---- */

static PurpleConversation *chat(JsonObject *args)
{
	const char *name = given(args, "chat");

	return name ? purple_find_conversation_with_account(PURPLE_CONV_TYPE_CHAT, name, self) : NULL;
}

/* One "chat" event per chat and one "chat-user" event per chat and participant, all with the id of the command. */
const char *chat_list(JsonObject *args)
{
	const char *id = given(args, "id");
	GList *at, *user;

	for (at = purple_get_chats(); at; at = at->next) {
		const char *name = purple_conversation_get_name(at->data);
		PurpleConvChat *c = PURPLE_CONV_CHAT((PurpleConversation *)at->data);

		report("chat", "id", id, "chat", name, "topic", purple_conv_chat_get_topic(c), "left",
		       purple_conv_chat_has_left(c) ? "yes" : NULL, NULL);
		for (user = purple_conv_chat_get_users(c); user; user = user->next) {
			PurpleConvChatBuddy *u = user->data;

			report("chat-user", "id", id, "chat", name, "who", u->name, "leader", leader(u->flags), NULL);
		}
	}
	return NULL;
}

const char *chat_send(JsonObject *args)
{
	PurpleConversation *c = chat(args);
	const char *text = given(args, "text");
	char *escaped, *html;

	if (!c || !text)
		return "no such chat, or text missing";
	escaped = g_markup_escape_text(text, -1);
	html = purple_strdup_withhtml(escaped); /* line ends */
	purple_conv_chat_send(PURPLE_CONV_CHAT(c), html);
	g_free(escaped);
	g_free(html);
	return NULL;
}

const char *chat_invite(JsonObject *args)
{
	PurpleConversation *c = chat(args);

	if (!c || !given(args, "who"))
		return "no such chat, or who missing";
	serv_chat_invite(purple_conversation_get_gc(c), purple_conv_chat_get_id(PURPLE_CONV_CHAT(c)), NULL, given(args, "who"));
	return NULL;
}

/* Closes the window, which is how a user leaves. */
const char *chat_leave(JsonObject *args)
{
	PurpleConversation *c = chat(args);

	if (!c)
		return "no such chat";
	purple_conversation_destroy(c);
	return NULL;
}

/* An entry of the menu of the chat's window. The graphical client asks for that menu with a chat that is on no list. */
const char *chat_menu(JsonObject *args)
{
	PurpleConversation *c = chat(args);
	PurpleConnection *server = c ? purple_conversation_get_gc(c) : NULL;
	PurplePluginProtocolInfo *plugin;
	PurpleChat *node;
	gboolean found;

	if (!server)
		return "no such chat, or not connected";
	plugin = PURPLE_PLUGIN_PROTOCOL_INFO(purple_connection_get_prpl(server));
	node = purple_chat_new(self, NULL, plugin->chat_info_defaults(server, purple_conversation_get_name(c)));
	found = menu_choose(plugin->blist_node_menu(PURPLE_BLIST_NODE(node)), PURPLE_BLIST_NODE(node), args);
	purple_blist_remove_chat(node);
	return found ? NULL : "no such entry";
}
