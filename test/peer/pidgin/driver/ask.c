/*
 * Dialogs. Each is reported as a "request" event with a number and waits for the
 * command "answer"; only the question about a certificate is answered at once.
 */
#include "driver.h"

#include <string.h>

typedef struct Question Question;

struct Question {
	guint number;
	PurpleRequestType type;
	void (*act)(Question *, gboolean yes, JsonObject *answer);
	GCallback ok, cancel;
	gpointer user_data;
	PurpleRequestFields *fields;  /* of a form */
	char **labels;                /* of a choice between buttons, with one callback each */
	GCallback *buttons;
};

static GHashTable *questions;         /* number -> Question */
static gboolean trusting;

static void question_free(gpointer p)
{
	Question *q = p;

	if (q->fields)
		purple_request_fields_destroy(q->fields);
	g_strfreev(q->labels);
	g_free(q->buttons);
	g_free(q);
}

static Question *question(PurpleRequestType type, void (*act)(Question *, gboolean, JsonObject *), gpointer user_data)
{
	static guint last;
	Question *q = g_new0(Question, 1);

	q->number = ++last;
	q->type = type;
	q->act = act;
	q->user_data = user_data;
	g_hash_table_insert(questions, GUINT_TO_POINTER(q->number), q);
	return q;
}

static void announce(Question *q, const char *title, const char *primary, const char *secondary)
{
	char *number = g_strdup_printf("%u", q->number);
	char *labels = q->labels ? g_strjoinv("|", q->labels) : NULL;

	report("request", "request", number, "title", title, "primary", primary, "text", secondary, "choices", labels, NULL);
	g_free(number);
	g_free(labels);
}

/* Acts and closes; libpurple calls closed() in turn, which forgets the question. */
static void settle(Question *q, gboolean yes, JsonObject *answer)
{
	guint number = q->number;

	q->act(q, yes, answer);
	q = g_hash_table_lookup(questions, GUINT_TO_POINTER(number));
	if (q)
		purple_request_close(q->type, q);
}

static void closed(PurpleRequestType type, void *handle)
{
	(void)type;
	g_hash_table_remove(questions, GUINT_TO_POINTER(((Question *)handle)->number));
}

/* ---- a line of text ---- */

static void act_input(Question *q, gboolean yes, JsonObject *answer)
{
	PurpleRequestInputCb tell = (PurpleRequestInputCb)(yes ? q->ok : q->cancel);
	const char *text = answer ? given(answer, "text") : NULL;

	if (tell)
		tell(q->user_data, text ? text : "");
}

static void *input(const char *title, const char *primary, const char *secondary, const char *initial, gboolean multiline,
                   gboolean masked, gchar *hint, const char *ok_text, GCallback ok, const char *cancel_text, GCallback cancel,
                   PurpleAccount *account, const char *who, PurpleConversation *conversation, void *user_data)
{
	Question *q = question(PURPLE_REQUEST_INPUT, act_input, user_data);

	(void)initial, (void)multiline, (void)masked, (void)hint, (void)ok_text, (void)cancel_text;
	(void)account, (void)who, (void)conversation;
	q->ok = ok;
	q->cancel = cancel;
	announce(q, title, primary, secondary);
	return q;
}

/* ---- a form ---- */

static void fill(PurpleRequestFields *fields, JsonObject *answer)
{
	GList *member, *members = json_object_get_members(answer);

	for (member = members; member; member = member->next)
		if (purple_request_fields_exists(fields, member->data)) {
			PurpleRequestField *field = purple_request_fields_get_field(fields, member->data);

			if (purple_request_field_get_type(field) == PURPLE_REQUEST_FIELD_STRING)
				purple_request_field_string_set_value(field, given(answer, member->data));
		}
	g_list_free(members);
}

static void act_form(Question *q, gboolean yes, JsonObject *answer)
{
	PurpleRequestFieldsCb tell = (PurpleRequestFieldsCb)(yes ? q->ok : q->cancel);

	if (answer)
		fill(q->fields, answer);
	if (tell)
		tell(q->user_data, q->fields);
}

static void *form(const char *title, const char *primary, const char *secondary, PurpleRequestFields *fields, const char *ok_text,
                  GCallback ok, const char *cancel_text, GCallback cancel, PurpleAccount *account, const char *who,
                  PurpleConversation *conversation, void *user_data)
{
	Question *q = question(PURPLE_REQUEST_FIELDS, act_form, user_data);

	(void)ok_text, (void)cancel_text, (void)account, (void)who, (void)conversation;
	q->fields = fields;
	q->ok = ok;
	q->cancel = cancel;
	announce(q, title, primary, secondary);
	return q;
}

/* ---- buttons ---- */

/* "choice" in the answer is a label; without one the first button means yes and the last no. */
static void act_buttons(Question *q, gboolean yes, JsonObject *answer)
{
	const char *choice = answer ? given(answer, "choice") : NULL;
	guint last = g_strv_length(q->labels) - 1, i = yes ? 0 : last;

	for (guint j = 0; choice && j <= last; j++)
		if (strcmp(q->labels[j], choice) == 0)
			i = j;
	if (q->buttons[i])
		((PurpleRequestActionCb)q->buttons[i])(q->user_data, (int)i);
}

static gboolean certificate_answer(gpointer number)
{
	Question *q = g_hash_table_lookup(questions, number);
	JsonObject *answer = json_object_new();

	json_object_set_string_member(answer, "choice", trusting ? "Accept" : "Reject");
	if (q)
		settle(q, trusting, answer);
	json_object_unref(answer);
	return G_SOURCE_REMOVE;
}

static void *buttons(const char *title, const char *primary, const char *secondary, int initial, PurpleAccount *account,
                     const char *who, PurpleConversation *conversation, void *user_data, size_t count, va_list actions)
{
	Question *q = question(PURPLE_REQUEST_ACTION, act_buttons, user_data);
	size_t i;

	(void)initial, (void)account, (void)who, (void)conversation;
	q->labels = g_new0(char *, count + 1);
	q->buttons = g_new0(GCallback, count);
	for (i = 0; i < count; i++) {
		q->labels[i] = purple_text_strip_mnemonic(va_arg(actions, const char *));
		q->buttons[i] = va_arg(actions, GCallback);
	}
	announce(q, title, primary, secondary);
	if (title && strstr(title, "Certificate") && g_strv_contains((const char *const *)q->labels, "Accept"))
		g_idle_add(certificate_answer, GUINT_TO_POINTER(q->number));
	return q;
}

static void *buttons_with_icon(const char *title, const char *primary, const char *secondary, int initial, PurpleAccount *account,
                               const char *who, PurpleConversation *conversation, gconstpointer icon, gsize size, void *user_data,
                               size_t count, va_list actions)
{
	(void)icon, (void)size;
	return buttons(title, primary, secondary, initial, account, who, conversation, user_data, count, actions);
}

static PurpleRequestUiOps request_ops = {
	.request_input = input,
	.request_fields = form,
	.request_action = buttons,
	.request_action_with_icon = buttons_with_icon,
	.close_request = closed,
};

void ask_setup(gboolean trust_any_certificate)
{
	trusting = trust_any_certificate;
	questions = g_hash_table_new_full(NULL, NULL, NULL, question_free);
	purple_request_set_ui_ops(&request_ops);
}

const char *ask_answer(JsonObject *command)
{
	const char *number = given(command, "request"), *refuse = given(command, "refuse");
	Question *q = number ? g_hash_table_lookup(questions, GUINT_TO_POINTER((guint)atoi(number))) : NULL;

	if (!q)
		return "no such request";
	settle(q, refuse == NULL, command);
	return NULL;
}
