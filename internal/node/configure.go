package node

import (
	"upsycle/identity"
	"upsycle/internal/config"
	"upsycle/internal/router"
)

// FromConfig returns the node that a configuration describes. The caller adds
// what no file says: version, log, control socket.
func FromConfig(c config.Config, key identity.Key) Config {
	n := Config{
		Key: key, Listen: c.Listen, Peers: c.Peers, Accept: c.Accept, Homes: c.Homes,
		Services: access(c.Services), Edges: access(c.Edges), NoRoot: !c.CanRoot, Data: c.Data, Links: c.Limits.Links,
	}
	n.Limits.Backbone.Custody = int(c.Limits.Custody)
	n.Limits.Home.MailboxBytes = int(c.Limits.MailboxBytes)
	n.Limits.Home.MailboxEntries = c.Limits.MailboxEntries
	n.Limits.Home.Clients = c.Limits.Clients
	return n
}

func access(a config.Access) router.Access {
	return router.Access{Keys: a.Keys, Local: a.Local, Any: a.Any}
}
