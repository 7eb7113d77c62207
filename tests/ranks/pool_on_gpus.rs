//! Pools whose tasks, results and values are in the memory of GPUs.

use warpcomm::pool::Pool;
use warpcomm::{Communicator, DeviceBuffer, Result};

use super::common::still_works;
use crate::harness::Outcome;

cases! {
    buffers_as_tasks_and_results: 1..=4;
    buffers_are_kept: 1..=4;
}

fn numbers(length: usize, salt: u32) -> Vec<u32> {
    (0..length as u32)
        .map(|number| number.wrapping_mul(31).wrapping_add(salt))
        .collect()
}

fn buffers_as_tasks_and_results(comm: &Communicator) -> Outcome {
    for works in [false, true] {
        let mut pool = Pool::new(comm).master_works(works).timeline(true);
        let same = pool.function(|_, buffer: DeviceBuffer<u32>| Ok(buffer));
        let down = pool.function(|_, buffer: DeviceBuffer<u32>| Ok(buffer.to_vec()?));
        let up = pool.function(|worker, elements: Vec<u32>| {
            if elements.len() == 3 {
                return Err("three are too few".into());
            }
            Ok(DeviceBuffer::from_slice(&worker.stream()?, &elements)?)
        });
        pool.run(|master| -> Result<()> {
            // Within a frame, an envelope, and pieces.
            let lengths = [0, 1, 50, 3_000, 70_000];
            let tasks: Vec<Vec<u32>> = lengths.iter().map(|&length| numbers(length, 5)).collect();
            let view = master.load_balanced().retries(1);
            let buffers = view.map(up, tasks.clone()).unwrap();
            let again = master.map(same, buffers).unwrap();
            let back = view.map(down, again).unwrap();
            assert_eq!(back, tasks);
            let mixed = view.try_map(up, vec![numbers(3, 0), numbers(4, 0)]).unwrap();
            assert!(
                mixed[0]
                    .as_ref()
                    .unwrap_err()
                    .to_string()
                    .contains("three are too few")
            );
            assert_eq!(mixed[1].as_ref().unwrap().to_vec()?, numbers(4, 0));
            let timeline = master.timeline();
            assert!(
                timeline
                    .of_call(0)
                    .entries
                    .iter()
                    .all(|entry| entry.gpu.is_some())
            );
            assert_eq!(
                timeline
                    .of_call(1)
                    .entries
                    .iter()
                    .map(|entry| entry.bytes_out)
                    .max(),
                Some(280_000)
            );
            // A call that is left while buffers are on their way.
            let tasks = (0..20).map(|salt| numbers(9_000, salt));
            assert_eq!(view.map_unordered(up, tasks).take(3).count(), 3);
            Ok(())
        })?
        .transpose()?;
        still_works(comm)?;
    }
    Ok(())
}

fn buffers_are_kept(comm: &Communicator) -> Outcome {
    let mut pool = Pool::new(comm);
    let kept = pool.value::<DeviceBuffer<f32>>();
    let sum = pool.function(move |worker, scale: f32| {
        let buffer = worker.value(kept).as_ref().ok_or("none is kept")?;
        Ok(buffer.to_vec()?.iter().sum::<f32>() * scale)
    });
    let own = comm.device()?.new_stream()?;
    pool.run(|master| -> Result<()> {
        let workers = master.direct();
        let failed = workers.apply(sum, 1.0).unwrap_err();
        assert!(failed.to_string().contains("none is kept"), "{failed}");
        workers.push(kept, DeviceBuffer::from_slice(&own, &vec![0.5; 40_000])?)?;
        for scale in [1.0, 2.0] {
            assert!(
                workers
                    .apply(sum, scale)
                    .unwrap()
                    .iter()
                    .all(|sum| *sum == 20_000.0 * scale)
            );
        }
        for buffer in workers.pull(kept)? {
            assert_eq!(buffer.to_vec()?, vec![0.5; 40_000]);
        }
        Ok(())
    })?
    .transpose()?;
    still_works(comm)
}
