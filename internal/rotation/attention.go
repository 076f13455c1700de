package rotation

import (
	"fmt"
	"slices"
)

// Attention is a zone, a host or a bastion that needs a person.
type Attention struct {
	Zone ZoneID   `json:"zone,omitempty"`
	Host HostName `json:"host,omitempty"`
	// Bastion stands for all hosts behind it, of which Hosts are concerned, or More
	// than that.
	Bastion string  `json:"bastion,omitempty"`
	Hosts   int     `json:"hosts,omitempty"`
	More    bool    `json:"more,omitempty"`
	Outcome Outcome `json:"outcome,omitempty"`
	Why     string  `json:"why"`
}

// Who names it, such as "bastion edge-jump (200 hosts)".
func (a Attention) Who() string {
	switch {
	case a.Bastion != "":
		return fmt.Sprintf("bastion %s (%s)", a.Bastion, a.Many())
	case a.Zone != "":
		return string(a.Zone)
	}
	return string(a.Host)
}

// Many is how many hosts behind a bastion are concerned, such as "200 hosts".
func (a Attention) Many() string {
	switch {
	case a.More:
		return fmt.Sprintf("%d hosts or more", a.Hosts)
	case a.Hosts == 1:
		return "1 host"
	}
	return fmt.Sprintf("%d hosts", a.Hosts)
}

// AsideTogether names each bastion once, of what several shards set aside. Shards share
// hosts, so that the most of one shard is what is known of their number.
func AsideTogether(all []Attention) []Attention {
	var once []Attention
	for _, a := range all {
		i := slices.IndexFunc(once, func(b Attention) bool { return a.Bastion != "" && b.Bastion == a.Bastion })
		if i < 0 {
			once = append(once, a)
			continue
		}
		once[i].Hosts, once[i].More = max(once[i].Hosts, a.Hosts), true
	}
	return once
}

// setAside are the hosts that failed their proof twice, each bastion that is lost in
// place of those behind it; bastions stand first.
func (a *Admission) setAside() []Attention {
	var hosts, bastions []Attention
	for _, h := range a.hosts {
		i := slices.IndexFunc(bastions, func(b Attention) bool { return b.Bastion == h.behind })
		switch {
		case h.aside == "":
		case h.behind == "":
			hosts = append(hosts, Attention{Host: h.Name, Why: h.aside})
		case i < 0:
			bastions = append(bastions, Attention{Bastion: h.behind, Hosts: 1, Why: h.aside})
		default:
			bastions[i].Hosts++
		}
	}
	all := append(bastions, hosts...)
	return all[:min(len(all), maxAttention)]
}
