// Package chart has the tests of deploy/helm/keywave. They are a module of their
// own: Helm's library and Kubernetes' types are nothing that the product needs.
package chart
