package stage

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// LedgerPrefix begins the names of the ConfigMaps that hold clairwatch's ledger.
const LedgerPrefix = "clairwatch-ledger-"

// LeaseName is the Lease by which the leader is elected.
const LeaseName = "clairwatch"

// Forget takes clairwatch's memory away: the ConfigMaps of the ledger and the Lease are deleted. No daemon may
// run.
func (s *Stage) Forget(ctx context.Context) error {
	maps := s.Client.CoreV1().ConfigMaps(Namespace)
	all, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing the ledger: %w", err)
	}
	for _, m := range all.Items {
		if !strings.HasPrefix(m.Name, LedgerPrefix) {
			continue
		}
		if err := maps.Delete(ctx, m.Name, metav1.DeleteOptions{}); err != nil {
			return fmt.Errorf("deleting %s: %w", m.Name, err)
		}
	}
	err = s.Client.CoordinationV1().Leases(Namespace).Delete(ctx, LeaseName, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the Lease: %w", err)
	}
	return nil
}

// Leader returns who holds the Lease; empty: nobody.
func (s *Stage) Leader(ctx context.Context) (string, error) {
	lease, err := s.Client.CoordinationV1().Leases(Namespace).Get(ctx, LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the Lease: %w", err)
	}
	if lease.Spec.HolderIdentity == nil {
		return "", nil
	}
	return *lease.Spec.HolderIdentity, nil
}

// Told returns the messages of a channel that Slack has accepted and that have some text in them, such as the
// name of an image without its registry's host.
func (s *Stage) Told(channel, text string) []slackstand.Message {
	var told []slackstand.Message
	for _, m := range s.Slack.Messages(slackstand.Path(channel)) {
		if bytes.Contains(m.Payload, []byte(text)) {
			told = append(told, m)
		}
	}
	return told
}
