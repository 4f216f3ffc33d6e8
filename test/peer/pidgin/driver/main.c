/* The account, the core of libpurple and the event loop. The first line of standard input holds the settings. */
#include "driver.h"

#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PurpleAccount *self;

static GMainLoop *loop;

const char *given(JsonObject *object, const char *key)
{
	return json_object_has_member(object, key) ? json_object_get_string_member(object, key) : NULL;
}

/* ---- the event loop, as libpurple wants it ---- */

typedef struct {
	PurpleInputFunction tell;
	gpointer with;
} Watch;

static gboolean ready(gint fd, GIOCondition condition, gpointer p)
{
	Watch *watch = p;
	int both = condition & (G_IO_HUP | G_IO_ERR) ? PURPLE_INPUT_READ | PURPLE_INPUT_WRITE : 0;
	int which = both | (condition & G_IO_IN ? PURPLE_INPUT_READ : 0) | (condition & G_IO_OUT ? PURPLE_INPUT_WRITE : 0);

	watch->tell(watch->with, fd, (PurpleInputCondition)which);
	return G_SOURCE_CONTINUE;
}

static guint watch_fd(int fd, PurpleInputCondition condition, PurpleInputFunction tell, gpointer with)
{
	Watch *watch = g_new(Watch, 1);
	int on = G_IO_HUP | G_IO_ERR | (condition & PURPLE_INPUT_READ ? G_IO_IN : 0) | (condition & PURPLE_INPUT_WRITE ? G_IO_OUT : 0);

	*watch = (Watch){ tell, with };
	return g_unix_fd_add_full(G_PRIORITY_DEFAULT, fd, (GIOCondition)on, ready, watch, g_free);
}

static PurpleEventLoopUiOps loop_ops = {
	.timeout_add = g_timeout_add,
	.timeout_add_seconds = g_timeout_add_seconds,
	.timeout_remove = g_source_remove,
	.input_add = watch_fd,
	.input_remove = g_source_remove,
};

/* ---- start and end ---- */

static gboolean stop(gpointer nothing)
{
	(void)nothing;
	g_main_loop_quit(loop);
	return G_SOURCE_REMOVE;
}

void leave(void) { g_idle_add(stop, NULL); }

static gboolean line_came(GIOChannel *in, GIOCondition condition, gpointer nothing)
{
	char *line = NULL;

	(void)condition, (void)nothing;
	do {
		if (g_io_channel_read_line(in, &line, NULL, NULL, NULL) != G_IO_STATUS_NORMAL) {
			leave(); /* whoever started us is gone */
			return G_SOURCE_REMOVE;
		}
		obey(line);
		g_free(line);
	} while (g_io_channel_get_buffer_condition(in) & G_IO_IN);
	return G_SOURCE_CONTINUE;
}

static void core_start(const char *home)
{
	static PurpleCoreUiOps core_ops;

	purple_util_set_user_dir(home);
	purple_core_set_ui_ops(&core_ops);
	purple_eventloop_set_ui_ops(&loop_ops);
	purple_plugins_add_search_path("/usr/lib/purple-2"); /* where Debian puts the plugin, and libpurple does not look */
	if (!purple_core_init(UI_NAME)) {
		fputs("libpurple does not start\n", stderr);
		exit(1);
	}
	purple_set_blist(purple_blist_new());
	purple_blist_load();
	purple_prefs_load();
	purple_prefs_set_bool("/purple/logging/log_ims", FALSE);
	purple_prefs_set_bool("/purple/network/auto_ip", FALSE);
	purple_prefs_set_bool("/purple/network/map_ports", FALSE);
	purple_prefs_set_string("/purple/away/idle_reporting", "system"); /* see do_idle */
}

/* Puts the certificates of a PEM file among the authorities that libpurple trusts. */
static void trust(const char *file)
{
	PurpleCertificatePool *pool = purple_certificate_find_pool("x509", "ca");
	GSList *at, *all = purple_certificates_import(purple_certificate_find_scheme("x509"), file);

	if (!all)
		fprintf(stderr, "no certificate in %s\n", file);
	for (at = all; at; at = at->next) {
		char *id = purple_certificate_get_unique_id(at->data);

		purple_certificate_pool_store(pool, id, at->data);
		g_free(id);
	}
	g_slist_free_full(all, (GDestroyNotify)purple_certificate_destroy);
}

static void account_make(JsonObject *settings)
{
	static const char *const options[][2] = {
		{ "server", "server" }, { "transport", "transport" }, { "scheme", "authentication" }, { "user_agent", "useragent" },
	};
	const char *login = given(settings, "login"), *status = given(settings, "status");
	char *name = g_strdup_printf("%s,%s", given(settings, "sign_in"), login ? login : "");
	guint i;

	self = purple_account_new(name, PLUGIN);
	g_free(name);
	purple_accounts_add(self);
	purple_account_set_remember_password(self, TRUE);
	purple_account_set_password(self, given(settings, "password"));
	for (i = 0; i < G_N_ELEMENTS(options); i++)
		if (given(settings, options[i][0]))
			purple_account_set_string(self, options[i][1], given(settings, options[i][0]));
	purple_account_set_bool(self, "sso", given(settings, "sso") != NULL);
	purple_account_set_bool(self, "dont-publish", TRUE); /* no calendar: it would look for an Exchange server */
	purple_account_set_status(self, status ? status : "available", TRUE, NULL);
}

static JsonObject *settings_read(GIOChannel *in)
{
	char *line = NULL;
	JsonNode *node;

	g_io_channel_read_line(in, &line, NULL, NULL, NULL);
	node = line ? json_from_string(line, NULL) : NULL;
	if (!node || !JSON_NODE_HOLDS_OBJECT(node)) {
		fputs("the first line must be an object with the settings\n", stderr);
		exit(1);
	}
	g_free(line);
	return json_node_get_object(node); /* lives as long as the program */
}

int main(void)
{
	GIOChannel *in = g_io_channel_unix_new(0);
	JsonObject *settings;

	setlocale(LC_ALL, "C.UTF-8");
	signal(SIGPIPE, SIG_IGN);
	settings = settings_read(in);
	world_settle(settings);
	report_open(given(settings, "debug_log"));
	core_start(given(settings, "home"));
	if (!purple_find_prpl(PLUGIN)) {
		fputs("the plugin " PLUGIN " is not installed\n", stderr);
		return 1;
	}
	if (given(settings, "authority"))
		trust(given(settings, "authority"));
	ask_setup(given(settings, "trust_any") != NULL);
	report_connect();
	account_make(settings);
	loop = g_main_loop_new(NULL, FALSE);
	g_io_add_watch(in, G_IO_IN | G_IO_HUP, line_came, NULL);
	report("ready", "libpurple", purple_core_get_version(), "plugin",
	       purple_plugin_get_version(purple_find_prpl(PLUGIN)), NULL);
	g_main_loop_run(loop);
	if (!purple_account_is_disconnected(self))
		purple_account_disconnect(self);
	purple_core_quit();
	return 0;
}
