"""Optimizers as pairs of pure functions `(init, update)`, and schedules of the learning rate."""

from fungrad.optim.optimizer import Optimizer as Optimizer
from fungrad.optim.optimizer import apply_updates as apply_updates
from fungrad.optim.plateau import Plateau as Plateau
from fungrad.optim.plateau import PlateauState as PlateauState
from fungrad.optim.plateau import reduce_on_plateau as reduce_on_plateau
from fungrad.optim.schedules import constant as constant
from fungrad.optim.schedules import exponential_decay as exponential_decay
from fungrad.optim.schedules import step_decay as step_decay
from fungrad.optim.sgd import SGDState as SGDState
from fungrad.optim.sgd import sgd as sgd
