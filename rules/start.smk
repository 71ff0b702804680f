# What makes a run that finds little or nothing to do end sooner.
import gc

# What has been loaded by now is needed to the end: Python looks for no garbage in it any more.
gc.freeze()
