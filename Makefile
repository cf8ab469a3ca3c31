# Everything needs Go and, for the sandbox, Postgres; what is missing is installed or named.

.PHONY: demo test unit servers fuzz bench soak lint

# A cluster on this machine, clairwatch in it, and what arrives in Slack.
demo:
	cd sandbox && go build -o ../bin/demo ./demo && exec ../bin/demo

# Everything that is tested. What has real servers waits for them most of the time, and leaves the other tests room.
test:
	$(MAKE) -j2 unit servers

# With real servers. The first run builds them. What takes longest comes first.
servers:
	cd sandbox && go test -race -timeout 60m ./memory ./soak ./e2e ./disclosure ./...

# One processor at a time: with several, the race detector of Go 1.26 crashes now and then where goroutines of a bubble of
# testing/synctest use timers (it is probably go.dev/issue/78156). It finds a race by what is not ordered, not by what
# happens at once, so one processor hides few.
unit:
	go test -race -cpu 1 -timeout 30m ./watcher ./ledger ./...

# Feeds the parsers of what comes from outside with what nobody sends: FUZZ_TIME=10m for each, FUZZ_ONLY="clair FuzzReport".
fuzz:
	.ci/fuzz

# What clairwatch costs: BENCH="-pods 100000 -images 5000 -namespaces 200 -memory 400MiB", or what else ./bench -h says.
bench:
	cd sandbox && go build -o ../bin/bench ./bench && exec ../bin/bench -v $(BENCH)

# Whether all is told as it should be while one server after another fails: SOAK="-for 4h -seed 7", or what else
# ./soak -h says.
soak:
	cd sandbox && go build -o ../bin/soak ./soak && exec ../bin/soak $(SOAK)

lint:
	test -z "$$(git ls-files '*.go' | xargs gofmt -l)"
	go vet ./... && cd sandbox && go vet ./...
