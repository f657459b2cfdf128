"""How it is solved: the controlled Markov chain, its Hamiltonians, and the algorithms over it."""
