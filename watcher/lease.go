package watcher

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// errLeaseLost is why work ends when another replica leads, or may do so soon.
var errLeaseLost = errors.New("the Lease is lost: another replica leads, or the API server did not answer in time")

// shortestLease is the shortest duration of a Lease. It leaves a third of a second for each request.
const shortestLease = 3 * time.Second

// rightsPatience is how long we must have been refused before it counts as missing rights.
const rightsPatience = 10 * time.Second

// electionOff is how long a request to Slack may last when nobody else can lead.
const electionOff = 24 * time.Hour

// LeaseConfig says which Lease makes one of several replicas the leader.
type LeaseConfig struct {
	// Off means that there is no election: every replica leads. Two of them tell everything twice.
	Off bool
	// Name is the Lease's, in the namespace of the settings. Empty means clairwatch.
	Name string
	// Identity is who we are in the Lease: a pod's name, so that a container that is started again in its
	// pod goes on at once. Nobody else may have it at the same time. Empty means a new one at each start.
	Identity string
	// Duration is how long the others wait for a leader that is not heard of any more, in whole seconds; a
	// fraction is cut off. Zero means 45 s; Run refuses less than 3 s. A leader renews the Lease every ninth
	// of it, and ends by itself two thirds of it after it last could.
	Duration time.Duration
}

// lease makes one of several replicas the leader. Make one with newLease, and run it once.
type lease struct {
	cfg       LeaseConfig
	namespace string
	client    leaseClient
	log       *slog.Logger

	// acquired is closed when we begin to lead.
	acquired chan struct{}

	mu          sync.Mutex
	end         func() // ends the work and the election, because the Lease is lost
	leads       bool
	over        bool    // we led, or did not want to any more; it does not begin again
	lost        bool    // somebody else took it, or may have
	renewed     instant // when the request was sent that renewed it last
	transitions uint64  // how often the Lease had changed hands when we got it
	standingBy  string  // the leader of whom the log has spoken
	holder      string  // who held it when it was last read, if it was somebody else
	complained  bool    // of missing rights
	// refused is since when we are refused for want of rights, and nothing else came of the same kind of request.
	refused map[leaseRequest]instant
}

// leaseRequest is what is done with the Lease: each needs rights of its own.
type leaseRequest string

const (
	readLease  leaseRequest = "read"
	writeLease leaseRequest = "write"
)

// newLease returns a lease that nobody has asked for yet.
func newLease(kube Kubernetes, namespace string, cfg LeaseConfig, log *slog.Logger) *lease {
	cfg.Name = cmp.Or(cfg.Name, "clairwatch")
	cfg.Identity = cmp.Or(cfg.Identity, identity())
	// The Lease itself holds whole seconds: what others go by must not be shorter than what we do.
	cfg.Duration = cmp.Or(cfg.Duration, 45*time.Second).Truncate(time.Second)
	l := &lease{
		cfg: cfg, namespace: namespace, log: log,
		acquired: make(chan struct{}), refused: make(map[leaseRequest]instant),
	}
	l.client = leaseClient{kube.CoordinationV1().Leases(namespace), l}
	return l
}

// elector returns what gets the Lease and renews it.
func (l *lease) elector() (*leaderelection.LeaderElector, error) {
	if l.cfg.Duration < shortestLease {
		return nil, fmt.Errorf("preparing the leader election: a Lease of %v is too short; want at least %v", l.cfg.Duration, shortestLease)
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: l.cfg.Name,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: l.namespace, Name: l.cfg.Name},
			Labels:     map[string]string{nameLabel: "clairwatch"},
			Client:     l.client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: l.cfg.Identity},
		},
		LeaseDuration: l.cfg.Duration,
		RenewDeadline: l.renewDeadline(),
		RetryPeriod:   l.cfg.Duration / 9,
		// Nobody waits for the goroutines that the callbacks come in, and the elector would release the
		// Lease while the work of a leader who has lost it still goes on. So what becomes of the Lease is
		// seen in the requests, and run releases it.
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the leader election: %w", err)
	}
	return elector, nil
}

// identity is who we are in a Lease unless a pod's name says it: several may run on one host.
func identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "_" + rand.Text()[:10]
}

// renewDeadline is how long after its last renewal a leader may go on.
func (l *lease) renewDeadline() time.Duration { return l.cfg.Duration * 2 / 3 }

// requestTimeout is how long a request to the API server may last. Several tries, of which each is two requests
// where the first one fails, fit into the renew deadline.
func (l *lease) requestTimeout() time.Duration { return l.cfg.Duration / 9 }

// run stands by until the Lease is ours and then calls lead, once. The context of lead ends with ctx, or
// with the cause errLeaseLost when the Lease is lost. The Lease is kept until lead has returned, and then
// released. run returns errLeaseLost when it was lost, otherwise what lead returned, and nil when ctx ended
// first. Who has lost the Lease starts anew.
func (l *lease) run(ctx context.Context, lead func(context.Context) error) error {
	work, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	// The elector outlives ctx: what is in hand when ctx ends is finished under the Lease.
	election, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	l.mu.Lock()
	l.end = func() {
		lose(errLeaseLost)
		stop()
	}
	l.mu.Unlock()
	ended := make(chan struct{})
	if l.cfg.Off {
		l.renew(now(), 0)
		close(ended)
	} else {
		elector, err := l.elector()
		if err != nil {
			return err
		}
		go func() {
			defer close(ended)
			elector.Run(election)
			l.lose() // it could not be renewed, unless the work had ended
		}()
	}
	var err error
	select {
	case <-l.acquired:
		err = lead(work)
	case <-ctx.Done():
	}
	lost := l.stop()
	stop()
	<-ended
	l.release(ctx)
	if lost {
		return errLeaseLost
	}
	return err
}

// sendUntil returns until when a request to Slack may last, and whether it may be sent at all. The others
// do not lead before that time, whatever becomes of us.
func (l *lease) sendUntil() (deadline time.Time, ok bool) {
	at := now()
	left := l.left(at)
	return at.monotonic.Add(left), left > 0
}

// left returns for how long after a moment we lead for sure. It is not positive when we do not.
func (l *lease) left(at instant) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.leads:
		return 0
	case l.cfg.Off:
		return electionOff
	}
	return l.renewDeadline() - at.since(l.renewed)
}

// leader is who leads in our place, as far as we know; empty when nobody does.
func (l *lease) leader() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder
}

// term returns how often the Lease had changed hands when we got it. It is 0 without an election.
func (l *lease) term() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.transitions
}

// holds reads the Lease and returns nil when it is ours, errLeaseLost when we do not lead any more, and
// another error when that cannot be found out.
func (l *lease) holds(ctx context.Context) error {
	if !l.cfg.Off {
		if _, err := l.client.Get(ctx, l.cfg.Name, metav1.GetOptions{}); err != nil {
			return fmt.Errorf("reading the Lease %s/%s: %w", l.namespace, l.cfg.Name, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leads {
		return errLeaseLost
	}
	return nil
}

// lose ends the work of a leader: somebody else leads.
func (l *lease) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leads {
		return
	}
	l.leads, l.over, l.lost = false, true, true
	l.end()
}

// stop ends the leadership, and says whether the Lease was lost before.
func (l *lease) stop() (lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leads, l.over = false, true
	return l.lost
}

// release lets the next leader begin at once. The work has ended.
func (l *lease) release(ctx context.Context) {
	if l.cfg.Off {
		return
	}
	// All of it in the time of one request: a pod that ends is not waited for much longer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.requestTimeout())
	defer cancel()
	held, err := l.client.Get(ctx, l.cfg.Name, metav1.GetOptions{})
	if err == nil {
		if holder(held) != l.cfg.Identity {
			return // somebody else's, or we never led
		}
		released := metav1.NowMicro()
		held.Spec.HolderIdentity = new(string)
		held.Spec.AcquireTime, held.Spec.RenewTime = &released, &released
		_, err = l.client.Update(ctx, held, metav1.UpdateOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) && l.led() {
		l.log.Warn("the Lease is not released: the next leader waits until it has expired", "error", err)
	}
}

// led says whether we have had the Lease.
func (l *lease) led() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.renewed.monotonic.IsZero()
}

// renew notes that the Lease is ours, by a request that was sent at a moment.
func (l *lease) renew(at instant, transitions uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.renewed = at
	clear(l.refused) // who leads hardly ever reads it
	if l.leads {
		return
	}
	l.leads, l.transitions = true, transitions
	close(l.acquired)
	l.log.Info("leading", "identity", l.cfg.Identity)
}

// see looks at what the Lease says.
func (l *lease) see(holder string) {
	if holder == l.cfg.Identity {
		return
	}
	// The elector would try for longer to get back what belongs to somebody else.
	l.lose()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holder = holder
	if holder == "" || l.over || l.standingBy == holder {
		return
	}
	l.standingBy = holder
	l.log.Info("standing by: the Lease is another replica's", "leader", holder)
}

// complain logs once that rights are missing, by what came of a request. All other errors pass by themselves, and the
// elector logs them; so does the refusal of an API server that has just begun, and has not read yet who may do what.
func (l *lease) complain(of leaseRequest, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !apierrors.IsForbidden(err) { // also nil
		delete(l.refused, of)
		return
	}
	at := now()
	since, again := l.refused[of]
	if !again {
		l.refused[of] = at
	}
	if l.complained || !again || at.since(since) < rightsPatience {
		return
	}
	l.complained = true
	l.log.Error("the Lease cannot be used: apply the manifest of this version, which has the rights",
		"lease", l.namespace+"/"+l.cfg.Name, "error", err)
}

// leaseClient is how the elector reads and writes the one Lease: each request has a deadline, and what
// comes of it is seen here.
type leaseClient struct {
	coordinationclient.LeaseInterface
	lease *lease
}

var _ coordinationclient.LeasesGetter = leaseClient{}

// Leases implements coordinationclient.LeasesGetter.
func (c leaseClient) Leases(string) coordinationclient.LeaseInterface { return c }

// Get implements coordinationclient.LeaseInterface.
func (c leaseClient) Get(ctx context.Context, name string, opts metav1.GetOptions) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, c.lease.requestTimeout())
	defer cancel()
	got, err := c.LeaseInterface.Get(ctx, name, opts)
	c.lease.complain(readLease, err)
	if err != nil {
		return nil, err
	}
	c.lease.see(holder(got))
	return got, nil
}

// Create creates the Lease by a PUT: unlike a POST it carries the name, so that a Role can confine it to
// this one. Without a resource version it creates, and never replaces a Lease that somebody else has
// created in between: the API server refuses that.
func (c leaseClient) Create(ctx context.Context, lease *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	return c.Update(ctx, lease, metav1.UpdateOptions{})
}

// Update implements coordinationclient.LeaseInterface.
func (c leaseClient) Update(ctx context.Context, lease *coordinationv1.Lease, opts metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, c.lease.requestTimeout())
	defer cancel()
	sent := now() // before the request, because the others may see it at once, and we much later
	updated, err := c.LeaseInterface.Update(ctx, lease, opts)
	c.lease.complain(writeLease, err)
	if err != nil {
		return nil, err
	}
	if holder(updated) == c.lease.cfg.Identity {
		c.lease.renew(sent, transitions(updated))
	}
	return updated, nil
}

// holder is who holds a Lease; empty when nobody does.
func holder(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

// transitions is how often a Lease has changed hands.
func transitions(l *coordinationv1.Lease) uint64 {
	if l.Spec.LeaseTransitions == nil {
		return 0
	}
	return uint64(max(0, *l.Spec.LeaseTransitions))
}

// instant is a moment by both clocks: the monotonic one stands still while a machine is suspended, and the
// wall clock can be set back.
type instant struct{ monotonic, wall time.Time }

func now() instant {
	t := time.Now()
	return instant{monotonic: t, wall: t.Round(0)}
}

// since is how much time has passed, by the clock that says more.
func (i instant) since(begin instant) time.Duration {
	return max(i.monotonic.Sub(begin.monotonic), i.wall.Sub(begin.wall))
}
