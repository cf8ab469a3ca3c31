// Command soak has a cluster change at random while one server after another fails, and checks that every channel was
// told what it should be, once: from what Slack has accepted, what the cluster was asked for, and what Clair says, and
// from nothing that the daemon says of itself. All servers are real but Slack and the kubelets.
//
//	go run ./soak -for 4h -seed 7
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "decides what changes and what fails: the same again with the same")
	flag.DurationVar(&o.length, "for", 10*time.Minute, "for how long servers fail, one after the other; 0: each fault once")
	flag.DurationVar(&o.hold, "hold", 8*time.Second, "how long each fault lasts; outages of the API server outlast the Lease now and then")
	flag.StringVar(&o.only, "only", "", "inject only faults whose name holds this: Clair, registry, Slack, daemon, etcd, API")
	flag.BoolVar(&o.race, "race", false, "build the daemon with the race detector")
	flag.BoolVar(&o.keep, "keep", false, "leave the folder with logs and data in place")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o.say = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	o.say("seed %d", o.seed)
	r, err := run(ctx, o)
	fmt.Println(r)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}
