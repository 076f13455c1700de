package fleet

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Credentials says where an account's API credential comes from.
type Credentials struct {
	// Kind is env, profile, tccli, cvm-role or tke-oidc.
	Kind string
	// Name is the prefix of env's variables, the profile, tccli's profile or
	// the instance's role; "" is the usual one.
	Name string
	// Role is the ARN of a role that is assumed with that credential; "" is
	// none. Session, ExternalID and Duration are those of the role's session, and
	// zero where the file says nothing.
	Role, Session, ExternalID string
	Duration                  time.Duration
}

// String is for people: "profile eu", "assume-role qcs::… with env".
func (c Credentials) String() string {
	own := strings.TrimSpace(c.Kind + " " + c.Name)
	if c.Role == "" {
		return own
	}
	return "assume-role " + c.Role + " with " + own
}

// credentialKind is a kind of credentials. name reads the name in {kind: name};
// it is nil for a kind without names.
type credentialKind struct {
	kind string
	name func(string) (string, error)
	like schema
}

const assumeRole = "assume-role"

func credentialKinds() []credentialKind {
	return []credentialKind{
		{"env", shaped(envForm, "prefix of environment variables", "EU_"), like(envForm.String())},
		{"profile", name[string], aName()},
		{"tccli", name[string], aName()},
		{"cvm-role", shaped(roleForm, "name of a role", "keywave"), like(roleForm.String())},
		{"tke-oidc", nil, nil},
	}
}

var (
	envForm        = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
	roleForm       = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{1,128}$`)
	arnForm        = regexp.MustCompile(`^qcs::cam::uin/[0-9]{1,20}:role(Name)?/[A-Za-z0-9+=,.@_/-]{1,160}$`)
	sessionForm    = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{2,128}$`)
	externalIDForm = regexp.MustCompile(`^[A-Za-z0-9+=,.@:/_-]{2,128}$`)
)

// credentialsSchema is what credentials reads, credentialSchema what credential
// reads.
func credentialsSchema() schema {
	return credentialSchema(property{assumeRole, assumedFields().mapping("arn"), "A role that is assumed with another credential."})
}

func credentialSchema(also ...property) schema {
	var alone []string
	named := section{}
	for _, k := range credentialKinds() {
		alone = append(alone, k.kind)
		if k.name != nil {
			named = append(named, property{name: k.kind, of: k.like})
		}
	}
	one := append(named, also...).mapping()
	one["minProperties"], one["maxProperties"] = 1, 1
	return anyOf(choice(alone...), one)
}

func assumedFields() section {
	return section{
		{"arn", like(arnForm.String()), "qcs::cam::uin/<uin>:roleName/<name>"},
		{"session", like(sessionForm.String()), "What audit logs show; default: keywave."},
		{"duration", aSpan(), "15m to 12h; default: 2h."},
		{"externalId", like(externalIDForm.String()), "When the role's trust policy asks for one."},
		{"source", credentialSchema(), "The credential that assumes it; default: env."},
	}
}

// shaped reads a value that must have a certain form.
func shaped(form *regexp.Regexp, what, example string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !form.MatchString(s) {
			return "", fmt.Errorf("%q is no %s; write one such as %s", s, what, example)
		}
		return s, nil
	}
}

// credentials reads one word, or a mapping with one kind. The kind's value is
// its name or, for assume-role, the role.
func (r *reader) credentials(n *yaml.Node, what string) Credentials {
	c := r.credential(n, what, assumeRole)
	if n == nil || n.Kind != yaml.MappingNode || len(n.Content) != 2 || n.Content[0].Value != assumeRole {
		return c
	}
	what += ": " + assumeRole
	role := n.Content[1]
	in := r.fields(role, what, assumedFields().names()...)
	if role.Kind == yaml.MappingNode && in["arn"] == nil {
		r.say(role, what, `has no arn; write arn: "qcs::cam::uin/<uin>:roleName/<name>"`)
	}
	c = r.credential(in["source"], what+": source")
	c.Role = value(r, in["arn"], what+": arn", "", shaped(arnForm, "ARN of a role", `"qcs::cam::uin/100000000001:roleName/keywave"`))
	c.Session = value(r, in["session"], what+": session", "", shaped(sessionForm, "name of a session", "keywave"))
	c.ExternalID = value(r, in["externalId"], what+": externalId", "", shaped(externalIDForm, "external ID", `"fleet-7"`))
	c.Duration = time.Duration(value(r, in["duration"], what+": duration", 0, span(15*time.Minute, 12*time.Hour)))
	return c
}

// credential reads credentials that need no others. also are other kinds that
// may be the mapping's key here.
func (r *reader) credential(n *yaml.Node, what string, also ...string) Credentials {
	usual := Credentials{Kind: "env"}
	if n == nil || n.Kind != yaml.MappingNode {
		return value(r, n, what, usual, func(s string) (Credentials, error) {
			if s == assumeRole && len(also) > 0 {
				return usual, errors.New(`assume-role has to say which; write {assume-role: {arn: "qcs::cam::uin/<uin>:roleName/<name>"}}`)
			}
			kind, err := oneOf("credentials", kinds(also...)...)(s)
			return Credentials{Kind: kind}, err
		})
	}
	in := r.fields(n, what, kinds(also...)...)
	if len(n.Content) != 2 {
		r.say(n, what, "has %d kinds of credentials; write one, such as {profile: eu}", len(n.Content)/2)
		return usual
	}
	for _, s := range credentialKinds() {
		at := in[s.kind]
		switch {
		case at == nil:
		case s.name == nil:
			r.say(at, what, "%s takes no name; write %s alone", s.kind, s.kind)
		default:
			return Credentials{Kind: s.kind, Name: value(r, at, what+": "+s.kind, "", s.name)}
		}
	}
	return usual
}

func kinds(also ...string) []string {
	var all []string
	for _, s := range credentialKinds() {
		all = append(all, s.kind)
	}
	return append(all, also...)
}
