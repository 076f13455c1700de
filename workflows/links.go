package workflows

import (
	"net/url"
	"strings"
)

// currentNamespace is what the Temporal UI replaces, in Markdown, by the
// namespace of the page that shows it. Links there are relative, so that they
// need not know where the UI is.
const currentNamespace = "{namespace}"

// ListLink is where the Temporal UI at ui, such as http://127.0.0.1:8233, lists
// the workflows that a visibility query finds.
func ListLink(ui, namespace, query string) string {
	return strings.TrimRight(ui, "/") + "/" + listPath(url.PathEscape(namespace), query)
}

func listPath(namespace, query string) string {
	return "namespaces/" + namespace + "/workflows?query=" + url.QueryEscape(query)
}

// workflowPath is the page of a workflow's latest run.
func workflowPath(namespace, id string) string {
	return "namespaces/" + namespace + "/workflows/" + url.PathEscape(id)
}
