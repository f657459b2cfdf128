"""How it is solved: the controlled Markov chain, its Hamiltonians, and the algorithms that march or iterate over it."""
