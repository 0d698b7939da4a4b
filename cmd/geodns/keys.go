package main

import (
	"geodns/internal/config"
	"geodns/internal/tsig"
)

// keyring are the keys of a configuration. Those that may transfer zones see
// what is stored.
func keyring(cfg *config.Config) (*tsig.Keyring, error) {
	if len(cfg.Keys) == 0 {
		return nil, nil
	}
	keys := make([]tsig.Key, len(cfg.Keys))
	for i, k := range cfg.Keys {
		keys[i] = tsig.Key{Name: k.Name, Algorithm: k.Algorithm, Secret: k.Secret.Reveal(), Trusted: cfg.Transfer.AllowsKey(k.Name)}
	}
	return tsig.NewKeyring(keys)
}
