package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/gate"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// fault is something that fails for a while.
type fault struct {
	name string
	// begin has it fail; mend ends that. mend may be nil.
	begin, mend func(context.Context, *soak) error
	// halts says that nobody reaches the API server meanwhile, so that nothing can change in the cluster.
	halts bool
	// ends says that the daemon may end by itself: it loses its Lease.
	ends bool
	// outlasts has it last longer than the Lease every time, rather than now and then.
	outlasts bool
	// blind says that Clair cannot be given anything.
	blind bool
	// kin says that the short form leaves it out: another fault is much like it.
	kin bool
}

// like marks a fault as one that the short form leaves out.
func like(f fault) fault {
	f.kin = true
	return f
}

// part makes a fault of one of the servers' processes.
func part(name string, of sandbox.Part, f fault, begin, mend func(context.Context, *sandbox.Process) error) fault {
	f.name = name
	f.begin = func(ctx context.Context, s *soak) error { return begin(ctx, s.stage.Process(of)) }
	f.mend = func(ctx context.Context, s *soak) error { return mend(ctx, s.stage.Process(of)) }
	return f
}

func kill(_ context.Context, p *sandbox.Process) error      { return p.Kill() }
func begin(ctx context.Context, p *sandbox.Process) error   { return p.Start(ctx) }
func pause(_ context.Context, p *sandbox.Process) error     { return p.Pause() }
func resume(_ context.Context, p *sandbox.Process) error    { return p.Resume() }
func restart(ctx context.Context, p *sandbox.Process) error { return p.Restart(ctx) }
func nothing(_ context.Context, _ *sandbox.Process) error   { return nil }
func healing(servers ...gate.Server) func(context.Context, *soak) error {
	return func(_ context.Context, s *soak) error {
		for _, server := range servers {
			s.gate.Heal(server)
		}
		return nil
	}
}

// wire makes a fault that the daemon meets on the way to a server, and so does Clair on its way to the registry.
func wire(name string, server gate.Server, g gate.Fault) fault {
	g.Server = server
	return fault{
		name:  name,
		begin: func(_ context.Context, s *soak) error { s.gate.Fail(g); return nil },
		mend:  healing(server),
	}
}

// answers makes a fault of Slack's: so many messages, to whichever channel, get an answer.
func answers(name string, n int, a slackstand.Answer) fault {
	return fault{
		name:  name,
		begin: func(_ context.Context, s *soak) error { s.stage.Slack.FailNext("", n, a); return nil },
		mend:  func(_ context.Context, s *soak) error { s.stage.Slack.Mend(""); return nil },
	}
}

// always is more messages than there are in a round.
const always = 1 << 20

// expired is what the API server says to a watch that goes on from what it has forgotten.
const expired = `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",` +
	`"message":"too old resource version: 1 (2)","reason":"Expired","code":410}}` + "\n"

// soon has a client come again in two seconds.
var soon = http.Header{"Retry-After": {"2"}}

// faults are all that there are.
func faults() []fault {
	away := fault{halts: true, ends: true}
	return []fault{
		part("API server killed", sandbox.APIServer, away, kill, begin),
		like(part("etcd killed", sandbox.Etcd, away, kill, begin)),
		part("etcd frozen", sandbox.Etcd, away, pause, resume),
		like(wire("watches expired", stage.API, gate.Fault{
			Watch: true, Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: expired,
		})),
		{name: "watches overtaken by a compaction", begin: cutOff, mend: compacted, ends: true},
		part("Clair killed", sandbox.Clair, fault{}, kill, begin),
		part("Postgres restarted", sandbox.Postgres, fault{blind: true}, restart, nothing),
		like(part("Postgres killed", sandbox.Postgres, fault{blind: true}, kill, begin)),
		wire("Clair answers 429", stage.Clair, gate.Fault{Status: http.StatusTooManyRequests}),
		wire("Clair answers 500", stage.Clair, gate.Fault{
			Status: http.StatusInternalServerError, Body: `{"code":"internal-error"}`,
		}),
		wire("Clair hangs", stage.Clair, gate.Fault{Hang: true}),
		{
			name:  "registry answers 401",
			begin: wire("", stage.Registry, gate.Fault{Status: http.StatusUnauthorized}).begin,
			mend:  admitted,
		},
		wire("registry answers 429", stage.Registry, gate.Fault{Status: http.StatusTooManyRequests, Header: soon}),
		wire("registry hangs", stage.Registry, gate.Fault{Hang: true}),
		answers("Slack answers 429", always, slackstand.Answer{
			Status: http.StatusTooManyRequests, RetryAfter: "2", Body: "slow down",
		}),
		answers("Slack answers 500", always, slackstand.Answer{Status: http.StatusInternalServerError, Body: "rollup_error"}),
		like(answers("Slack resets", always, slackstand.Answer{Reset: true})),
		answers("Slack accepts and resets", 3, slackstand.Answer{AcceptedReset: true}),
		like(answers("Slack accepts and is silent", 2, slackstand.Answer{AcceptedSilence: true})),
		{name: "daemon killed", begin: killed, mend: started},
		{name: "daemon frozen", begin: frozen, mend: thawed, ends: true, outlasts: true},
		{name: "disk full", begin: full, mend: emptied},
		{name: "clocks moved", begin: shifted, mend: healing(stage.API, stage.Clair, stage.Registry, stage.Slack)},
	}
}

// admitted has the registry let the daemon in again. Who was refused is not asked about again for ten minutes: the
// daemon is started again, as by somebody who has given it credentials.
func admitted(ctx context.Context, s *soak) error {
	s.gate.Heal(stage.Registry)
	if err := s.keeper.end(ctx); err != nil {
		return err
	}
	return s.keeper.start(ctx)
}

// cutOff keeps the daemon from the API server, while the cluster changes.
func cutOff(_ context.Context, s *soak) error {
	s.gate.Fail(gate.Fault{Pattern: gate.Pattern{Server: stage.API}})
	return nil
}

// compacted has the API server forget all that has happened: etcd is compacted, and what the server itself has kept
// ends with it. Then the daemon reaches it again, and goes on from a time that is not known any more.
func compacted(ctx context.Context, s *soak) error {
	if err := compact(ctx, s); err != nil {
		return err
	}
	server := s.stage.Process(sandbox.APIServer)
	if err := server.Kill(); err != nil {
		return err
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	s.gate.Heal(stage.API)
	return nil
}

// compact has etcd forget all but the present.
func compact(ctx context.Context, s *soak) error {
	var now struct{ Header struct{ Revision string } }
	if err := s.stage.AskEtcd(ctx, "kv/range", map[string]any{"key": "AA=="}, &now); err != nil {
		return err
	}
	return s.stage.AskEtcd(ctx, "kv/compaction", map[string]any{"revision": now.Header.Revision}, nil)
}

func killed(_ context.Context, s *soak) error    { return s.keeper.kill() }
func started(ctx context.Context, s *soak) error { return s.keeper.start(ctx) }

// frozen stops the daemon for longer than its Lease lasts, as a machine that is suspended does.
func frozen(_ context.Context, s *soak) error { return s.keeper.process.Pause() }

func thawed(_ context.Context, s *soak) error { return s.keeper.process.Resume() }

func full(ctx context.Context, s *soak) error    { return s.keeper.fill(ctx, s.stage) }
func emptied(ctx context.Context, s *soak) error { return s.keeper.empty(ctx) }

// shifted has the clocks of all that the daemon talks to be hours away from its own: in the Date of their answers, and
// in the Lease.
func shifted(ctx context.Context, s *soak) error {
	by := 7 * time.Hour
	for _, server := range []gate.Server{stage.API, stage.Clair, stage.Registry, stage.Slack} {
		s.gate.Fail(gate.Fault{Pattern: gate.Pattern{Server: server}, Shift: by})
		by = -by
	}
	leases := s.stage.Client.CoordinationV1().Leases(stage.Namespace)
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		lease, err := leases.Get(ctx, stage.LeaseName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		at := metav1.NewMicroTime(time.Now().Add(by))
		lease.Spec.RenewTime = &at
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		return err
	})
}

// askBound is the longest that a question of the soak's own may take.
const askBound = 10 * time.Second

// statusError is an answer that is no 200.
type statusError struct {
	path string
	code int
}

func (e *statusError) Error() string { return fmt.Sprintf("%s answered %d", e.path, e.code) }

// ask asks a server for JSON.
func ask(ctx context.Context, address string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askBound)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &statusError{strings.TrimPrefix(req.URL.Path, "/"), resp.StatusCode}
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(into)
}
