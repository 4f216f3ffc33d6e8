package topology

import (
	"encoding/json"
	"reflect"
	"strings"
)

// described says what JSON Schema cannot see in the types.
var described = map[string]map[string]any{
	"Document":      {"required": []string{"sip-domains", "pools"}},
	"Pool":          {"required": []string{"fqdn", "computers"}},
	"Computer":      {"required": []string{"fqdn", "address"}},
	"BackEnd":       {"required": []string{"user", "password-file", "ca", "primary"}},
	"Database":      {"required": []string{"fqdn"}},
	"Site":          {"required": []string{"name"}},
	"UpgradeDomain": {"minimum": 1, "maximum": 12},
	"RoutingGroups": {"minimum": 1, "maximum": 4096},
	"Computers":     {"minItems": 1, "maxItems": 12},
	"SIPDomains":    {"minItems": 1},
	"Roles":         {"uniqueItems": true},
}

// Schema is the JSON Schema (2020-12) of a document, for editors.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[Document]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Topology of Trivet"
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("topology: the schema cannot be written: " + err.Error()) // it is made of plain values
	}
	return append(b, '\n')
}

func schemaOf(t reflect.Type) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Uint16:
		return map[string]any{"type": "integer", "minimum": 1, "maximum": 65535}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	}
	s := map[string]any{"type": "object", "additionalProperties": false}
	properties := map[string]any{}
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		p := schemaOf(f.Type)
		for k, v := range described[f.Name] {
			if f.Name != t.Name() && p[k] == nil && (k != "required" || p["type"] == "object") {
				p[k] = v
			}
		}
		properties[key] = p
	}
	s["properties"] = properties
	for k, v := range described[t.Name()] {
		s[k] = v
	}
	return s
}
