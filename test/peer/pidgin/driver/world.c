/*
 * The plugin's surroundings. The program exports its symbols (-rdynamic), so the
 * functions below take the place of the C library's for libpurple, the plugin and
 * the resolver processes that libpurple forks.
 *
 * Nothing leaves the machine: names are those of the settings, and a connection
 * to an address that is not loopback is refused.
 */
#define _GNU_SOURCE
#include "driver.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <resolv.h>
#include <string.h>
#include <sys/socket.h>

static const char *machine = "localhost";  /* the host name; it enters the endpoint id */
static const char *source;                 /* local address of connections */
static unsigned chance;                    /* seed of rand() */
static JsonObject *names;                  /* host name -> address */
static JsonObject *services;               /* SRV name -> "host:port host:port…" */
static JsonObject *routes;                 /* "address:port" -> "address:port" really connected to */

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

static JsonObject *table(JsonObject *settings, const char *key)
{
	return json_object_has_member(settings, key) ? json_object_ref(json_object_get_object_member(settings, key))
	                                             : json_object_new();
}

void world_settle(JsonObject *settings)
{
	const char *seed = given(settings, "seed");

	if (given(settings, "machine"))
		machine = g_strdup(given(settings, "machine"));
	source = g_strdup(given(settings, "source"));
	chance = seed ? (unsigned)g_ascii_strtoull(seed, NULL, 10) : g_random_int();
	names = table(settings, "names");
	services = table(settings, "services");
	routes = table(settings, "routes");
}

/* Host names are compared without case; the settings hold them in lower case. */
static const char *looked_up(JsonObject *in, const char *key)
{
	char *lower = g_ascii_strdown(key, -1);
	const char *value = given(in, lower);

	g_free(lower);
	return value;
}

int gethostname(char *buffer, size_t size)
{
	if (g_strlcpy(buffer, machine, size) < size)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	if (node && !g_hostname_is_ip_address(node)) {
		node = looked_up(names, node);
		if (!node)
			return EAI_NONAME;
	}
	return REAL(getaddrinfo)(node, service, hints, result);
}

static gboolean to_sockaddr(const char *text, struct sockaddr_in *to)
{
	char **part = g_strsplit(text, ":", 2);
	gboolean good = part[0] && part[1] && inet_pton(AF_INET, part[0], &to->sin_addr) == 1;

	to->sin_family = AF_INET;
	if (good)
		to->sin_port = htons((guint16)atoi(part[1]));
	g_strfreev(part);
	return good;
}

/* Replaces the destination by its route. FALSE if it lies outside the machine. */
static gboolean rerouted(struct sockaddr_in *to)
{
	char address[INET_ADDRSTRLEN], *key;
	const char *route;

	inet_ntop(AF_INET, &to->sin_addr, address, sizeof(address));
	key = g_strdup_printf("%s:%d", address, ntohs(to->sin_port));
	route = given(routes, key);
	g_free(key);
	if (route && !to_sockaddr(route, to))
		return FALSE;
	return (ntohl(to->sin_addr.s_addr) >> 24) == 127;
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_in to, from = { .sin_family = AF_INET };

	if (address->sa_family == AF_UNIX)
		return REAL(connect)(fd, address, length);
	if (address->sa_family != AF_INET || (memcpy(&to, address, sizeof(to)), !rerouted(&to))) {
		errno = ENETUNREACH;
		return -1;
	}
	if (source && inet_pton(AF_INET, source, &from.sin_addr) == 1 && bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		return -1;
	return REAL(connect)(fd, (struct sockaddr *)&to, sizeof(to));
}

/* Appends one SRV record for the question at offset 12; "target" is host:port. */
static u_char *append_srv(u_char *at, u_char *end, const char *target)
{
	char **part = g_strsplit(target, ":", 2);
	u_char *length;
	int name = -1;

	if (part[0] && part[1] && end - at > 300) {
		NS_PUT16(NS_CMPRSFLGS << 8 | NS_HFIXEDSZ, at);  /* the name asked for */
		NS_PUT16(ns_t_srv, at);
		NS_PUT16(ns_c_in, at);
		NS_PUT32(60, at);
		length = at;
		at += NS_INT16SZ;
		NS_PUT16(0, at);                                /* priority */
		NS_PUT16(0, at);                                /* weight */
		NS_PUT16(atoi(part[1]), at);
		name = dn_comp(part[0], at, (int)(end - at), NULL, NULL);
		if (name > 0) {
			at += name;
			NS_PUT16((unsigned)(at - length - NS_INT16SZ), length);
		}
	}
	g_strfreev(part);
	return name > 0 ? at : NULL;
}

/* libpurple asks for SRV and TXT records with this; only the SRV names of the settings exist. */
int res_query(const char *name, int class, int type, u_char *answer, int size)
{
	const char *found = type == ns_t_srv ? looked_up(services, name) : NULL;
	char **targets = g_strsplit(found ? found : "", " ", -1);
	u_char *at = answer + NS_HFIXEDSZ, *end = answer + size;
	int question = dn_comp(name, at, size - NS_HFIXEDSZ - NS_QFIXEDSZ, NULL, NULL);
	HEADER *head = (HEADER *)answer;
	guint i;

	if (question > 0) {
		memset(answer, 0, NS_HFIXEDSZ);
		head->qr = head->aa = 1;
		head->qdcount = htons(1);
		at += question;
		NS_PUT16(type, at);
		NS_PUT16(class, at);
		for (i = 0; at && targets[i] && *targets[i]; i++)
			at = append_srv(at, end, targets[i]);
		head->ancount = htons((guint16)i);
	}
	g_strfreev(targets);
	if (question > 0 && at && i > 0)
		return (int)(at - answer);
	h_errno = HOST_NOT_FOUND;
	return -1;
}

/*
 * COMPAT(pidgin-sipe 1.25): it seeds rand() with the time in seconds, so clients
 * that start in one second share all Call-IDs, tags and branches. Here each has a
 * seed of its own unless the test gives two of them the same one.
 */
void srand(unsigned seed)
{
	(void)seed;
	REAL(srand)(chance);
}
