// Package pack makes container images FROM scratch out of one Go program: it builds the binary, adds the CA roots, and puts
// both into layers whose bytes depend on the source alone, so that two builds have one digest. It needs neither Docker nor
// a registry.
package pack
