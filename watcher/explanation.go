package watcher

import (
	"time"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/settings"
)

// Question is what somebody wants explained.
type Question struct {
	// Namespace is required.
	Namespace string
	// Name is that of a pod or, where no pod has it, of what runs pods, as a Deployment. Empty: all of the namespace.
	Name string
	// Vulnerability is the name of an advisory, "CVE-2023-4911", to look for in what runs there. Empty: none.
	Vulnerability string
}

// Explanation says of the containers of a namespace, or of some of its pods, who looks at them and what has come of it.
// It is data to be printed or sent, and holds no secret.
type Explanation struct {
	Namespace string `json:"namespace"`
	// Pod is the one that was asked about, also when it is not there; Workload is what runs the pods that were asked
	// about. Both are empty where all were.
	Pod      string `json:"pod,omitempty"`
	Workload string `json:"workload,omitempty"`
	// Near are pods and workloads that there are, where Pod is not there: those whose names are most like it, first.
	Near []string `json:"near,omitempty"`
	// NearNamespaces are others that the settings name or that have pods, where this one is not known: those whose names are
	// most like it, first. None where no name is.
	NearNamespaces []string `json:"nearNamespaces,omitempty"`
	// Vulnerability is the one that was asked about; empty: none. NamesPackage says that no vulnerability is called that, as
	// far as reports were read, and a package is.
	Vulnerability string            `json:"vulnerability,omitempty"`
	NamesPackage  bool              `json:"namesPackage,omitempty"`
	Settings      ExplainedSettings `json:"settings"`
	// Scanners are those in force, in the order of the settings.
	Scanners []ExplainedScanner `json:"scanners"`
	// Pods is how many there are. None means that nothing runs there.
	Pods      int                 `json:"pods"`
	Workloads []ExplainedWorkload `json:"workloads"`
	// LeftOut is how many containers are not listed, because there are too many.
	LeftOut int `json:"leftOut,omitempty"`
}

// ExplainedSettings says which part of the settings applies to a namespace.
type ExplainedSettings struct {
	// Applies is AppliesOwn, AppliesAll, AppliesOptedOut or AppliesNone.
	Applies string `json:"applies"`
	// Key is the one that applies; empty: none.
	Key string `json:"key,omitempty"`
	// Mistakes are what is wrong with what is written, if anything is. Then LastGood says that the settings of before
	// are in force; otherwise none are.
	Mistakes []string `json:"mistakes,omitempty"`
	LastGood bool     `json:"lastGood,omitempty"`
}

// Which key of the settings applies.
const (
	AppliesOwn      = "own"      // the namespace's own
	AppliesAll      = "all"      // that of all namespaces without a key
	AppliesOptedOut = "optedOut" // its own, which is empty
	AppliesNone     = "none"
)

// ExplainedScanner is a Scanner that is in force, and how its Clair and its channel fare.
type ExplainedScanner struct {
	Name string `json:"name"`
	// Clair is the address of its Clair, ClairAway since when that does not answer; zero: it does, as far as is known.
	Clair     string    `json:"clair"`
	ClairAway time.Time `json:"clairAway,omitzero"`
	// Channel is where its messages go, without the address.
	Channel string `json:"channel"`
	// Waiting is how many pieces of news wait for the channel, of all its namespaces. Untried says that nothing was sent
	// to it since this replica leads. Trouble is why it takes no messages, and what to do; TroubleSince is since when,
	// NextTry when it is tried again.
	Waiting      int       `json:"waiting"`
	Untried      bool      `json:"untried,omitempty"`
	Trouble      string    `json:"trouble,omitempty"`
	TroubleSince time.Time `json:"troubleSince,omitzero"`
	NextTry      time.Time `json:"nextTry,omitzero"`
	// MinSeverity, UnknownAs and OnlyFixable are its rules.
	MinSeverity string `json:"minSeverity"`
	UnknownAs   string `json:"unknownAs"`
	OnlyFixable bool   `json:"onlyFixable"`
	// Ignore are its entries. IgnoreCounted says that all of their Matches are known, because there is a report of each
	// image that is explained.
	Ignore        []ExplainedIgnore `json:"ignore,omitempty"`
	IgnoreCounted bool              `json:"ignoreCounted,omitempty"`
	Tell          settings.Tell     `json:"tell"`
	Look          settings.Look     `json:"look"`
}

// ExplainedIgnore is an entry of what a Scanner ignores.
type ExplainedIgnore struct {
	ID      string    `json:"id,omitempty"`
	Package string    `json:"package,omitempty"`
	Image   string    `json:"image,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	// Ended says that it is of no effect any more.
	Ended bool `json:"ended,omitempty"`
	// Matches is how many vulnerabilities it ignores in the images whose reports were read.
	Matches int `json:"matches"`
}

// ExplainedWorkload is what runs some pods, or a pod without an owner.
type ExplainedWorkload struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Pods int    `json:"pods"`
	// Containers are those of its pods, alike ones summed up.
	Containers []ExplainedContainer `json:"containers"`
}

// The kinds of containers.
const (
	KindContainer = "container"
	KindInit      = "init"
	KindEphemeral = "ephemeral"
	KindVolume    = "volume"
)

// What a container can be instead of having an image with a State.
const (
	// StateNotPulled: the pod's status does not say yet what it runs.
	StateNotPulled = "not_pulled"
	// StateNotMounted: no container that mounts the image volume has started.
	StateNotMounted = "not_mounted"
	// StateNoDigest: of an image volume nothing but a tag is known, so that nobody can tell what it is.
	StateNoDigest = "no_digest"
	// StateNotLookedAt: no Scanner looks at it.
	StateNotLookedAt = "not_looked_at"
)

// ExplainedContainer is a container, or an image volume, of some pods that are alike.
type ExplainedContainer struct {
	// Kind is KindContainer, KindInit, KindEphemeral or KindVolume.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Pods is in how many pods it is so.
	Pods int `json:"pods"`
	// Image is what runs, as the pod asks for it; where that is not known, its id.
	Image string `json:"image"`
	// Digest is that of its platform manifest; empty while it is not known. Platform is that of the node.
	Digest   string `json:"digest,omitempty"`
	Platform string `json:"platform,omitempty"`
	// Finished says that the pods have ended, OptedOut that they have the annotation that takes a pod out.
	Finished bool `json:"finished,omitempty"`
	OptedOut bool `json:"optedOut,omitempty"`
	// State is a State, StateNotPulled, StateNotMounted, StateNoDigest or StateNotLookedAt.
	State string `json:"state"`
	// Advice and Remedy say what happened to an image that could not be scanned or checked, and what to do. Since is
	// since when, as far as this replica knows; Tries how often it was tried since, and Tried when last.
	Advice string    `json:"advice,omitempty"`
	Remedy string    `json:"remedy,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Tries  int       `json:"tries,omitempty"`
	Tried  time.Time `json:"tried,omitzero"`
	// Next is when the image is looked at again, if nothing comes up before; zero where that is not settled. Follows
	// says that it is looked at again within minutes when the credentials for its registry have changed.
	Next    time.Time `json:"next,omitzero"`
	Follows bool      `json:"follows,omitempty"`
	// Waits says what an untried image waits for at each Clair.
	Waits []ExplainedWait `json:"waits,omitempty"`
	// Scanners say what becomes of it, in their order; none where nobody hears of the namespace.
	Scanners []ExplainedView `json:"scanners,omitempty"`
}

// What an image that has not been tried waits for.
const (
	WaitsForNode  = "node"  // its node is not known yet, and so its platform
	WaitsForClair = "clair" // which does not answer
	WaitsForSlot  = "slot"  // Clair works on as many others as it may
	WaitsForData  = "data"  // Clair is still loading its data
	WaitsForTurn  = "turn"  // it is being looked at, or is soon
)

// ExplainedWait is what an image waits for.
type ExplainedWait struct {
	// Clair is where; empty for WaitsForNode.
	Clair string `json:"clair,omitempty"`
	// For is WaitsForNode, WaitsForClair, WaitsForSlot, WaitsForData or WaitsForTurn.
	For string `json:"for"`
}

// Why a Scanner does not look at a container: the field of look in its settings.
const (
	SkippedInit      = "init"
	SkippedEphemeral = "ephemeral"
	SkippedVolumes   = "volumes"
	SkippedFinished  = "finished"
	SkippedOptOut    = "optOut"
)

// ExplainedView is what one Scanner does with a container.
type ExplainedView struct {
	// Scanner is its name.
	Scanner string `json:"scanner"`
	// Skipped says why it does not look at the container; empty: it does. Elsewhere says that it looks at the same image
	// all the same, as something else in the namespace uses it. What follows is about the image.
	Skipped   string `json:"skipped,omitempty"`
	Elsewhere bool   `json:"elsewhere,omitempty"`
	// Told counts what the channel was told and is still there, or what its settings (tell) have it not hear of; nil:
	// nothing of the image. What is ignored counts as not told, whatever was before, unless Held has it as told.
	Told *SeverityCount `json:"told,omitempty"`
	// Failure is the Cause that it was told, or "loading" while it knows that Clair is; empty: none.
	Failure string `json:"failure,omitempty"`
	// Unheard says that the failure was kept from it, because tell.failed was false.
	Unheard bool `json:"unheard,omitempty"`
	// Untold counts what is known and was not told; nil: there is none.
	Untold *SeverityCount `json:"untold,omitempty"`
	// Held says by which rules; nil where nothing is held back, or no report was read for the cause that Unread has.
	Held *ExplainedHeld `json:"held,omitempty"`
	// Found are the findings of Explanation.Vulnerability, worst first, and FoundMore how many there are besides. With
	// Held and without Found it is not in the image.
	Found     []ExplainedFinding `json:"found,omitempty"`
	FoundMore int                `json:"foundMore,omitempty"`
	// Unread is UnreadMany or UnreadClair where a report would say more.
	Unread string `json:"unread,omitempty"`
	// Pending is news of the image that waits for the channel.
	Pending []ExplainedNews `json:"pending,omitempty"`
}

// Why a report was not read.
const (
	UnreadMany  = "many"  // the question is about too many images
	UnreadClair = "clair" // Clair did not give it, or not in time
)

// ExplainedHeld says what the rules of now do with what the report has. It counts each vulnerability of a source package
// once, by its severity of now, and so do the Told and Untold beside it.
type ExplainedHeld struct {
	// Told says of how much of Told nothing more is told, and why.
	Told HeldTold `json:"told"`
	// Untold is all of Untold, by what keeps it from being told.
	Untold HeldUntold `json:"untold"`
}

// HeldTold is a part of what was told. The rest of it is what the rules let pass.
type HeldTold struct {
	// MinSeverity and OnlyFixable are what the rules of that name would hold back now.
	MinSeverity SeverityCount `json:"minSeverity"`
	OnlyFixable SeverityCount `json:"onlyFixable"`
	// Ignored are the entries, each with an Image, that are about what was told while the image ran under another name
	// too: that stays told.
	Ignored []ExplainedIgnored `json:"ignored,omitempty"`
	// Gone is what the report does not have any more.
	Gone SeverityCount `json:"gone"`
}

// HeldUntold is what was not told.
type HeldUntold struct {
	// MinSeverity and OnlyFixable are what the rules of that name hold back.
	MinSeverity SeverityCount `json:"minSeverity"`
	OnlyFixable SeverityCount `json:"onlyFixable"`
	// Ignored are the entries that are about anything in the image.
	Ignored []ExplainedIgnored `json:"ignored,omitempty"`
	// Coming is what nothing holds back: it waits for its channel, or for the next look at the image.
	Coming SeverityCount `json:"coming"`
}

// ExplainedIgnored is an entry of ignore with what it ignores in one image. Its Matches are the sum of Counts.
type ExplainedIgnored struct {
	ExplainedIgnore
	Counts SeverityCount `json:"counts"`
}

// What becomes of a finding.
const (
	FateIgnored     = "ignored"     // an entry of ignore is about it
	FateMinSeverity = "minSeverity" // it is less severe
	FateOnlyFixable = "onlyFixable" // it has no fix
	FatePasses      = "passes"      // nothing holds it back
)

// ExplainedFinding is a vulnerability in one package of an image, and what one Scanner does with it.
type ExplainedFinding struct {
	// Name is that of the advisory at Clair, which can be another one than was asked for.
	Name      string `json:"name"`
	Package   string `json:"package"`
	Installed string `json:"installed"`
	// FixedIn is empty where there is no fix.
	FixedIn  string `json:"fixedIn"`
	Severity string `json:"severity"`
	// Told says that the channel was told of it, or that its settings (tell) have it not hear of it.
	Told bool `json:"told"`
	// Fate is FateIgnored, FateMinSeverity, FateOnlyFixable or FatePasses, by the rules of now.
	Fate string `json:"fate"`
	// Ignore is the entry with FateIgnored; nil with others.
	Ignore *ExplainedIgnore `json:"ignore,omitempty"`
	// Missed are entries of ignore that name it and are not about it all the same.
	Missed []ExplainedMiss `json:"missed,omitempty"`
}

// Why an entry of ignore is not about a finding: the field of it that does not fit.
const (
	MissedID      = "id"      // Clair knows it by another name
	MissedPackage = "package" // it is in another one
	MissedImage   = "image"   // it has a name that the pattern does not fit
	MissedUntil   = "until"   // the entry has ended
)

// ExplainedMiss is an entry of ignore that is not about a finding. Its Matches are of no meaning and zero.
type ExplainedMiss struct {
	ExplainedIgnore
	// By are the fields that do not fit: MissedID, MissedPackage, MissedImage, MissedUntil.
	By []string `json:"by"`
}

// ExplainedNews is a piece of news that waits.
type ExplainedNews struct {
	// Kind is as in metrics and logs: "report", "disclosed".
	Kind string `json:"kind"`
	// Since is when it came up.
	Since time.Time `json:"since"`
}

// SeverityCount counts vulnerabilities by severity.
type SeverityCount struct {
	Critical   int `json:"critical"`
	High       int `json:"high"`
	Medium     int `json:"medium"`
	Low        int `json:"low"`
	Negligible int `json:"negligible"`
	Unknown    int `json:"unknown"`
}

func severityCount(c findings.Counts) SeverityCount {
	return SeverityCount{c.Critical, c.High, c.Medium, c.Low, c.Negligible, c.Unknown}
}

// Counts are the same as findings has them. How many have a fix is not known.
func (c SeverityCount) Counts() findings.Counts {
	return findings.Counts{Critical: c.Critical, High: c.High, Medium: c.Medium, Low: c.Low, Negligible: c.Negligible, Unknown: c.Unknown}
}
