// metrics-server, as its own main starts it.
package main

import (
	"os"

	"k8s.io/apiserver/pkg/server"
	"sigs.k8s.io/metrics-server/cmd/metrics-server/app"
)

func main() {
	if app.NewMetricsServerCommand(server.SetupSignalHandler()).Execute() != nil {
		os.Exit(1)
	}
}
