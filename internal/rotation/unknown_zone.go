package rotation

import "strings"

// keyOf is what is known of a zone's key after EdgeOne refused a request about it,
// by the code of the refusal. A request names nothing but the zone: where EdgeOne
// takes no such zone, as of one that was deleted, nobody knows what its key still
// opens.
func keyOf(code, otherwise string) string {
	for _, family := range []string{"InvalidParameter", "InvalidParameterValue", "ResourceNotFound"} {
		if code == family || strings.HasPrefix(code, family+".") {
			return "and EdgeOne takes no such zone: it may be deleted, or another account's; whether its key still opens anything is not known; take a deleted zone out of the fleet file"
		}
	}
	return otherwise
}
