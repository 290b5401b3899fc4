// Command program is the smallest that there is, for the test of an image.
package main

func main() {}
