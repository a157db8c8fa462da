package control

import "context"

// Status is what a router says of itself. Keys are in their text form.
type Status struct {
	Version    string            `json:"version"`
	Address    string            `json:"address"`
	Role       string            `json:"role"`
	UptimeMs   int64             `json:"uptime_ms"`
	Endpoints  []string          `json:"endpoints"`
	Encryption string            `json:"encryption"` // of message bodies, as the router can tell: "plaintext" in this version
	Peers      []Peer            `json:"peers"`
	Roots      []Root            `json:"roots"`
	Clients    []Mailbox         `json:"clients"`
	Targets    []Target          `json:"targets"`
	Tables     []Table           `json:"tables"`
	Counters   map[string]uint64 `json:"counters"` // since the start; every drop has one
}

// Peer is a link to another core.
type Peer struct {
	Address string `json:"address"`
	RTTMs   int    `json:"rtt_ms"`
	Cost    int    `json:"cost"`
	Queued  int    `json:"queued_bytes"`
}

// Root is one tree as this router sees it.
type Root struct {
	Address  string `json:"address"`
	Seq      uint64 `json:"seq"`
	Metric   uint64 `json:"metric"`
	Parent   string `json:"parent,omitempty"` // empty: none, or this router is the root
	Reach    bool   `json:"reach"`
	Counting bool   `json:"counting"`
	Children int    `json:"children"`
}

// Mailbox is a service or edge router with a mailbox here.
type Mailbox struct {
	Address       string `json:"address"`
	Role          string `json:"role"`
	Attached      bool   `json:"attached"`
	Subscriptions int    `json:"subscriptions"`
	Waiting       int    `json:"waiting"` // entries in its mailbox
	WaitingBytes  int    `json:"waiting_bytes"`
}

// Target is a group or address that somebody here wants, sends to or holds.
type Target struct {
	Address string `json:"address"`
	Kind    string `json:"kind"` // "group" or "address"
	Wanted  bool   `json:"wanted"`
	Sender  bool   `json:"sender"`
	Held    int    `json:"held"`    // envelopes in custody
	Primary string `json:"primary"` // root of its primary tree; empty: none yet
}

// Table is how full a table is. Limit 0: bounded by another one.
type Table struct {
	Name  string `json:"name"`
	Used  int    `json:"used"`
	Limit int    `json:"limit"`
}

// Backend is what answers the API: a router's node, or a fake.
type Backend interface {
	Status(ctx context.Context) (Status, error)
}
