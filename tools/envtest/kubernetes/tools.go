//go:build tools

// Package kubernetes names the programs of the control plane, so that go.mod pins them.
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
)
