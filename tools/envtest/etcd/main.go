// Command etcd is the etcd server; its own module has no main package that `go build` could use from outside.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
