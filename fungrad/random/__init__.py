"""Random numbers as functions of a key, usable under every transformation.

There is no hidden state: the same key gives the same numbers, in eager and in compiled code, on every machine. A key
is used once; `split` makes new ones from it. Bits come from Threefry-2x32 and are those of `jax.random` for the same
key; docs/random.md says which functions agree with JAX to the last bit.
"""

from fungrad.random.continuous import cauchy as cauchy
from fungrad.random.continuous import exponential as exponential
from fungrad.random.continuous import gumbel as gumbel
from fungrad.random.continuous import laplace as laplace
from fungrad.random.continuous import logistic as logistic
from fungrad.random.continuous import normal as normal
from fungrad.random.continuous import truncated_normal as truncated_normal
from fungrad.random.continuous import uniform as uniform
from fungrad.random.counts import binomial as binomial
from fungrad.random.counts import poisson as poisson
from fungrad.random.discrete import bernoulli as bernoulli
from fungrad.random.discrete import categorical as categorical
from fungrad.random.discrete import rademacher as rademacher
from fungrad.random.discrete import randint as randint
from fungrad.random.from_gamma import ball as ball
from fungrad.random.from_gamma import beta as beta
from fungrad.random.from_gamma import chisquare as chisquare
from fungrad.random.from_gamma import dirichlet as dirichlet
from fungrad.random.from_gamma import generalized_normal as generalized_normal
from fungrad.random.from_gamma import t as t
from fungrad.random.gamma import gamma as gamma
from fungrad.random.gamma import loggamma as loggamma
from fungrad.random.keys import bits as bits
from fungrad.random.keys import fold_in as fold_in
from fungrad.random.keys import key as key
from fungrad.random.keys import split as split
from fungrad.random.multivariate import multivariate_normal as multivariate_normal
from fungrad.random.shuffling import choice as choice
from fungrad.random.shuffling import permutation as permutation
