/* The repair of libxml2 for the plugin. Alone, as a library to preload, it serves the graphical client, too: README.md. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libxml/parser.h>

/*
 * COMPAT(pidgin-sipe 1.25, libxml2 from 2.9.14+dfsg-1.3~deb12u2): it hands libxml2
 * a table with SAX1 callbacks and the mark of a SAX2 table, for which libxml2 does
 * not call them any more: the client would see every document empty. Without the
 * mark it does.
 */
int xmlSAXUserParseMemory(xmlSAXHandlerPtr table, void *user, const char *text, int size)
{
	__typeof__(&xmlSAXUserParseMemory) real = (__typeof__(real))dlsym(RTLD_NEXT, "xmlSAXUserParseMemory");
	xmlSAXHandler repaired;

	if (table && table->initialized == XML_SAX2_MAGIC && !table->startElementNs && !table->endElementNs) {
		repaired = *table;
		repaired.initialized = 1;
		table = &repaired;
	}
	return real(table, user, text, size);
}
