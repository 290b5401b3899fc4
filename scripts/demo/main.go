// Command demo shows Baton at work: a control plane, three agents, a steady stream of events, and two leaders killed.
package main

import "fmt"

func main() { fmt.Println("the demo is being built") }
