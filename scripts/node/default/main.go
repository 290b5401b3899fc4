// Command default prints the reference of the node image that kind, in the version of go.mod, takes by default.
package main

import (
	"fmt"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"
)

func main() { fmt.Println(defaults.Image) }
