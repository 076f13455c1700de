package chart

import (
	"errors"
	"fmt"
	"sync"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
)

// decoder refuses an unknown or doubled field.
var decoder = sync.OnceValues(func() (runtime.Decoder, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(corev1.AddToScheme(scheme), appsv1.AddToScheme(scheme), policyv1.AddToScheme(scheme), networkingv1.AddToScheme(scheme), monitoringv1.AddToScheme(scheme))
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true}), err
})

// decode reads one object into its type.
func decode(text []byte) (runtime.Object, error) {
	d, err := decoder()
	if err != nil {
		return nil, err
	}
	o, _, err := d.Decode(text, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("is no object of Kubernetes: %w", err)
	}
	return o, nil
}
