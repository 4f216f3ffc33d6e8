/*
 * Commands. Each line is an object of strings with "cmd"; the answer is the event
 * "done" with the same "id", and "error" when the command could not be carried
 * out. What follows from a command comes as events of its own.
 */
#include "driver.h"

#include <string.h>

typedef struct {
	JsonObject *args;
	const char *who;            /* with "sip:", NULL if not given */
	PurpleConnection *server;   /* NULL while not connected */
} Command;

static const char *arg(Command *c, const char *key) { return given(c->args, key); }

/* ---- finding things ---- */

static PurpleBuddy *buddy(Command *c, const char *group_key)
{
	PurpleGroup *group = arg(c, group_key) ? purple_find_group(arg(c, group_key)) : NULL;

	return group ? purple_find_buddy_in_group(self, c->who, group) : purple_find_buddy(self, c->who);
}

static PurpleGroup *group_made(const char *name)
{
	PurpleGroup *group = purple_find_group(name);

	if (!group) {
		group = purple_group_new(name);
		purple_blist_add_group(group, NULL);
	}
	return group;
}

static PurplePluginProtocolInfo *plugin(void) { return PURPLE_PLUGIN_PROTOCOL_INFO(purple_find_prpl(PLUGIN)); }

/* Calls visit for each buddy in the group, all groups for NULL; visit may remove it. */
static void each_buddy(PurpleGroup *within, void (*visit)(PurpleBuddy *, gpointer), gpointer with)
{
	GSList *at, *all = purple_find_buddies(self, NULL);

	for (at = all; at; at = at->next)
		if (!within || purple_buddy_get_group(at->data) == within)
			visit(at->data, with);
	g_slist_free(all);
}

/* ---- the connection ---- */

static const char *do_connect(Command *c)
{
	(void)c;
	if (!purple_account_is_disconnected(self))
		return "still connected";
	if (purple_account_get_enabled(self, UI_NAME))
		purple_account_connect(self);
	else
		purple_account_set_enabled(self, UI_NAME, TRUE);
	return NULL;
}

static const char *do_disconnect(Command *c)
{
	(void)c;
	purple_account_set_enabled(self, UI_NAME, FALSE);
	return NULL;
}

static const char *do_quit(Command *c)
{
	(void)c;
	leave();
	return NULL;
}

/* ---- own state ---- */

/* As the graphical client: the choice is saved, and comes back after the user was idle. */
static const char *do_set_status(Command *c)
{
	PurpleStatus *status = arg(c, "status") ? purple_account_get_status(self, arg(c, "status")) : NULL;
	char *html = arg(c, "note") ? g_markup_escape_text(arg(c, "note"), -1) : NULL;
	PurpleStatusType *type;
	PurpleSavedStatus *choice;

	if (status) {
		type = purple_status_get_type(status);
		choice = purple_savedstatus_new(NULL, purple_status_type_get_primitive(type));
		purple_savedstatus_set_substatus(choice, self, type, html);
		purple_savedstatus_activate(choice);
	}
	g_free(html);
	return status ? NULL : "no such status";
}

static time_t idle_seconds;

static time_t time_idle(void) { return idle_seconds; }

/* How long nobody has touched the machine. libpurple looks at once and does what it does for the graphical client. */
static const char *do_idle(Command *c)
{
	static PurpleIdleUiOps ops = { .get_time_idle = time_idle };

	purple_idle_set_ui_ops(&ops);
	idle_seconds = arg(c, "seconds") ? atoi(arg(c, "seconds")) : 0;
	purple_idle_touch();
	return NULL;
}

/* ---- contacts ---- */

static void list_buddy(PurpleBuddy *b, gpointer id) { report_buddy("buddy", b, "id", id); }

/* One "group" event per group and one "buddy" event per contact and group, all with the id of the command. */
static const char *do_buddies(Command *c)
{
	PurpleBlistNode *node;

	for (node = purple_blist_get_root(); node; node = purple_blist_node_get_sibling_next(node))
		if (PURPLE_BLIST_NODE_IS_GROUP(node))
			report("group", "group", purple_group_get_name(PURPLE_GROUP(node)), "id", arg(c, "id"), NULL);
	each_buddy(NULL, list_buddy, (gpointer)arg(c, "id"));
	return NULL;
}

static const char *do_add_buddy(Command *c)
{
	PurpleBuddy *b;

	if (!c->who || !arg(c, "group"))
		return "who or group missing";
	b = purple_buddy_new(self, c->who, arg(c, "alias"));
	purple_blist_add_buddy(b, NULL, group_made(arg(c, "group")), NULL);
	purple_account_add_buddy(self, b);
	return NULL;
}

static void remove_one(PurpleBuddy *b, gpointer nothing)
{
	(void)nothing;
	purple_account_remove_buddy(self, b, purple_buddy_get_group(b));
	purple_blist_remove_buddy(b);
}

static const char *do_remove_buddy(Command *c)
{
	PurpleBuddy *b = buddy(c, "group");

	if (!b)
		return "no such buddy";
	remove_one(b, NULL);
	return NULL;
}

static const char *do_move_buddy(Command *c)
{
	PurpleBuddy *b = buddy(c, "group");

	if (!b || !arg(c, "to"))
		return "no such buddy, or to missing";
	purple_blist_add_buddy(b, NULL, group_made(arg(c, "to")), NULL); /* tells the plugin */
	return NULL;
}

static const char *do_alias_buddy(Command *c)
{
	PurpleBuddy *b = buddy(c, "group");

	if (!b)
		return "no such buddy";
	purple_blist_alias_buddy(b, arg(c, "alias"));
	serv_alias_buddy(b);
	return NULL;
}

static const char *do_add_group(Command *c)
{
	if (!arg(c, "group"))
		return "group missing";
	group_made(arg(c, "group"));
	return NULL;
}

static const char *do_rename_group(Command *c)
{
	PurpleGroup *group = arg(c, "group") ? purple_find_group(arg(c, "group")) : NULL;

	if (!group || !arg(c, "to"))
		return "no such group, or to missing";
	purple_blist_rename_group(group, arg(c, "to"));
	return NULL;
}

/* With all contacts in it, as the graphical client does. */
static const char *do_remove_group(Command *c)
{
	PurpleGroup *group = arg(c, "group") ? purple_find_group(arg(c, "group")) : NULL;

	if (!group)
		return "no such group";
	each_buddy(group, remove_one, NULL);
	purple_account_remove_group(self, group);
	purple_blist_remove_group(group);
	return NULL;
}

/* ---- privacy, menus ---- */

static const char *do_block(Command *c)
{
	if (!c->who)
		return "who missing";
	purple_privacy_deny_add(self, c->who, FALSE);
	return NULL;
}

static const char *do_unblock(Command *c)
{
	if (!c->who)
		return "who missing";
	purple_privacy_deny_remove(self, c->who, FALSE);
	return NULL;
}

/* Entries of the plugin carry marks and indentation in front. */
static const char *bare(const char *label) { return label + strspn(label, " *="); }

/* The entry at the path of labels, separated by "/". Every entry passed on the way is reported. */
static PurpleMenuAction *entry(GList *menu, char **path, const char *id)
{
	PurpleMenuAction *found = NULL;

	for (; menu; menu = menu->next) {
		PurpleMenuAction *action = menu->data;

		if (!action || !action->label)
			continue;
		report("menu", "label", action->label, "id", id, NULL);
		if (path[0] && !found && strcmp(bare(action->label), path[0]) == 0)
			found = action;
	}
	return found && path[1] ? entry(found->children, path + 1, id) : found;
}

static void menu_free(gpointer p)
{
	if (p)
		purple_menu_action_free(p);
}

gboolean menu_choose(GList *menu, PurpleBlistNode *node, JsonObject *command)
{
	const char *labels = given(command, "path");
	char **path = g_strsplit(labels ? labels : "", "/", -1);
	PurpleMenuAction *action = entry(menu, path, given(command, "id"));

	if (action && action->callback)
		((void (*)(PurpleBlistNode *, gpointer))action->callback)(node, action->data);
	g_list_free_full(menu, menu_free);
	g_strfreev(path);
	return action != NULL;
}

static const char *do_menu(Command *c)
{
	PurpleBuddy *b = c->who ? buddy(c, "group") : NULL;

	if (!b || !c->server)
		return "no such buddy, or not connected";
	return menu_choose(plugin()->blist_node_menu(PURPLE_BLIST_NODE(b)), PURPLE_BLIST_NODE(b), c->args) ? NULL : "no such entry";
}

/* An entry of the account's own menu, such as "Contact search...". */
static const char *do_action(Command *c)
{
	PurplePlugin *p = purple_find_prpl(PLUGIN);
	GList *at, *all;
	gboolean found = FALSE;

	if (!c->server)
		return "not connected";
	all = PURPLE_PLUGIN_ACTIONS(p, c->server);
	for (at = all; at; at = at->next) {
		PurplePluginAction *action = at->data;

		if (!action)
			continue;
		if (!found && g_strcmp0(action->label, arg(c, "label")) == 0) {
			found = TRUE;
			action->plugin = p;
			action->context = c->server;
			action->callback(action);
		}
		purple_plugin_action_free(action);
	}
	g_list_free(all);
	return found ? NULL : "no such entry";
}

/* ---- conversations ---- */

static PurpleConversation *conversation(Command *c)
{
	return c->who ? purple_find_conversation_with_account(PURPLE_CONV_TYPE_IM, c->who, self) : NULL;
}

static const char *do_send_im(Command *c)
{
	PurpleConversation *with = conversation(c);
	char *escaped, *html;

	if (!c->server || !c->who || !arg(c, "text"))
		return "who or text missing, or not connected";
	if (!with)
		with = purple_conversation_new(PURPLE_CONV_TYPE_IM, self, c->who);
	escaped = g_markup_escape_text(arg(c, "text"), -1);
	html = purple_strdup_withhtml(escaped); /* line ends */
	purple_conv_im_send(PURPLE_CONV_IM(with), html);
	g_free(escaped);
	g_free(html);
	return NULL;
}

static const char *do_typing(Command *c)
{
	if (!c->server || !c->who)
		return "who missing, or not connected";
	serv_send_typing(c->server, c->who, g_strcmp0(arg(c, "state"), "stopped") ? PURPLE_TYPING : PURPLE_NOT_TYPING);
	return NULL;
}

static const char *do_close(Command *c)
{
	PurpleConversation *with = conversation(c);

	if (!with)
		return "no such conversation";
	purple_conversation_destroy(with);
	return NULL;
}

static const char *do_get_info(Command *c)
{
	if (!c->server || !c->who)
		return "who missing, or not connected";
	serv_get_info(c->server, c->who);
	return NULL;
}

static const char *do_outstanding(Command *c)
{
	report_outstanding(arg(c, "id"));
	return NULL;
}

static const char *do_answer(Command *c) { return ask_answer(c->args); }

static const char *do_chats(Command *c) { return chat_list(c->args); }
static const char *do_chat_send(Command *c) { return chat_send(c->args); }
static const char *do_chat_invite(Command *c) { return chat_invite(c->args); }
static const char *do_chat_leave(Command *c) { return chat_leave(c->args); }
static const char *do_chat_menu(Command *c) { return chat_menu(c->args); }

/* ---- the table ---- */

static const struct {
	const char *name;
	const char *(*run)(Command *);  /* returns why not, or NULL */
} commands[] = {
	{ "connect", do_connect },           { "disconnect", do_disconnect },
	{ "quit", do_quit },                 { "set_status", do_set_status },
	{ "idle", do_idle },                 { "buddies", do_buddies },
	{ "add_buddy", do_add_buddy },       { "remove_buddy", do_remove_buddy },
	{ "move_buddy", do_move_buddy },     { "alias_buddy", do_alias_buddy },
	{ "add_group", do_add_group },       { "rename_group", do_rename_group },
	{ "remove_group", do_remove_group }, { "block", do_block },
	{ "unblock", do_unblock },           { "menu", do_menu },
	{ "action", do_action },             { "answer", do_answer },
	{ "send_im", do_send_im },           { "typing", do_typing },
	{ "close", do_close },               { "get_info", do_get_info },
	{ "chats", do_chats },               { "chat_send", do_chat_send },
	{ "chat_invite", do_chat_invite },   { "chat_leave", do_chat_leave },
	{ "chat_menu", do_chat_menu },       { "outstanding", do_outstanding },
};

static const char *run(Command *c, const char *name)
{
	guint i;

	for (i = 0; i < G_N_ELEMENTS(commands); i++)
		if (g_strcmp0(commands[i].name, name) == 0)
			return commands[i].run(c);
	return "no such command";
}

void obey(const char *line)
{
	GError *wrong = NULL;
	JsonNode *node = json_from_string(line, &wrong);
	Command c = { .server = purple_account_is_connected(self) ? purple_account_get_connection(self) : NULL };
	char *who = NULL;
	const char *error;

	if (!node || !JSON_NODE_HOLDS_OBJECT(node)) {
		report("done", "error", wrong ? wrong->message : "not an object", NULL);
		g_clear_error(&wrong);
		return;
	}
	c.args = json_node_get_object(node);
	if (arg(&c, "who"))
		c.who = who = g_strconcat(g_str_has_prefix(arg(&c, "who"), "sip:") ? "" : "sip:", arg(&c, "who"), NULL);
	error = run(&c, arg(&c, "cmd"));
	report("done", "cmd", arg(&c, "cmd"), "id", arg(&c, "id"), "error", error, NULL);
	g_free(who);
	json_node_free(node);
}
