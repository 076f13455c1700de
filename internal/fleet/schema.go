package fleet

import (
	"bytes"
	"encoding/json"
)

// schema is a JSON Schema (draft 7, which editors' YAML servers read).
type schema map[string]any

// property is a field of a section: its name, its possible values, and what
// editors say about it.
type property struct {
	name  string
	of    schema
	about string
}

// section is the fields that a mapping of the fleet file may have. The reader
// refuses any other, and so does the schema: both ask the same section.
type section []property

// names are the names of the fields, in the order in which mistakes list them.
func (s section) names() []string {
	names := make([]string, len(s))
	for i, p := range s {
		names[i] = p.name
	}
	return names
}

// mapping is the section as a schema; required fields must be there.
func (s section) mapping(required ...string) schema {
	properties := schema{}
	for _, p := range s {
		field := schema{"description": p.about}
		if p.about == "" {
			field = schema{}
		}
		for key, value := range p.of {
			field[key] = value
		}
		properties[p.name] = field
	}
	out := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// Schema is a JSON Schema of the fleet file, for editors. Read refuses
// everything that the schema refuses, and more: names that do not exist, and
// values that contradict each other.
func Schema() []byte {
	whole := topFields().mapping("version", "locations", "zones")
	whole["$schema"] = "http://json-schema.org/draft-07/schema#"
	whole["title"] = "Keywave fleet file, version 1"
	whole["not"] = schema{"required": []string{"account", "accounts"}}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(whole); err != nil {
		panic(err) // a schema is maps, lists and texts
	}
	return out.Bytes()
}

// The possible values of fields. The reader takes each value as it is written,
// with or without quotes. So the schema must accept every type that YAML makes
// of it; a pattern is checked for texts only.

// single is any single value.
func single() schema { return schema{"type": []string{"string", "number", "boolean"}} }

// words is a text of at most this many characters.
func words(most int) schema {
	s := single()
	s["maxLength"] = most
	return s
}

// like is a text that matches a pattern.
func like(pattern string) schema {
	s := single()
	s["pattern"] = pattern
	return s
}

const namePattern = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`

func aName() schema { return like(namePattern) }

func choice(of ...string) schema { return schema{"enum": of} }

func trueOrFalse() schema { return schema{"enum": []any{true, false, "true", "false"}} }

func number(least, most int) schema {
	return schema{"type": []string{"integer", "string"}, "minimum": least, "maximum": most, "pattern": `^[-+]?[0-9]+$`}
}

// aSpan is a duration; 0 needs no unit.
func aSpan() schema {
	return schema{
		"type": []string{"string", "number"}, "minimum": 0, "maximum": 0,
		"pattern": `^[-+]?(0|(([0-9]+([.][0-9]*)?|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`,
	}
}

// aShare is a count or a percentage.
func aShare() schema {
	return schema{"type": []string{"integer", "string"}, "minimum": 0, "pattern": shareForm.String()}
}

func listOf(items schema, least int) schema {
	return schema{"type": "array", "items": items, "minItems": least}
}

// namedBy is a mapping from names that people choose to items.
func namedBy(names, items schema, least int) schema {
	return schema{"type": "object", "propertyNames": names, "additionalProperties": items, "minProperties": least}
}

func anyOf(of ...schema) schema { return schema{"anyOf": of} }

// labelled is a mapping of labels.
func labelled() schema { return namedBy(schema{"maxLength": 128}, words(256), 0) }
