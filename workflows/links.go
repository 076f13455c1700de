package workflows

import (
	"net/url"
)

// currentNamespace is what the Temporal UI replaces, in Markdown, by the
// namespace of the page that shows it. Links there are relative, so that they
// need not know where the UI is.
const currentNamespace = "{namespace}"

// listPath is where the Temporal UI lists the workflows that a visibility query
// finds.
func listPath(namespace, query string) string {
	return "namespaces/" + namespace + "/workflows?query=" + url.QueryEscape(query)
}

// workflowPath is the page of a workflow's latest run.
func workflowPath(namespace, id string) string {
	return "namespaces/" + namespace + "/workflows/" + url.PathEscape(id)
}
