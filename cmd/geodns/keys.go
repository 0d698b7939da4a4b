package main

import (
	"geodns/internal/config"
	"geodns/internal/tsig"
)

// keyring are the keys of a configuration. Those that may transfer zones with
// their steering records, or change zones, see what is stored.
func keyring(cfg *config.Config) (*tsig.Keyring, error) {
	if len(cfg.Keys) == 0 {
		return nil, nil
	}
	keys := make([]tsig.Key, len(cfg.Keys))
	for i, k := range cfg.Keys {
		keys[i] = tsig.Key{Name: k.Name, Algorithm: k.Algorithm, Secret: k.Secret.Reveal(), Trusted: sees(cfg, k.Name)}
	}
	return tsig.NewKeyring(keys)
}

// sees reports whether a key, by its name, sees what is stored.
func sees(cfg *config.Config, name string) bool {
	if cfg.Transfer.AllowsKey(name) {
		return true
	}
	for i := range cfg.ZoneList {
		for _, u := range cfg.ZoneList[i].Updates {
			if u.Key == name {
				return true
			}
		}
	}
	return false
}
